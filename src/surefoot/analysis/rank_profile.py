"""How many directions the tokens of a batch use behind each block of a model, and where they become one.

The formulas are those of :mod:`surefoot.analysis.rank`. Effective rank depends on the number of tokens; compare models
on one batch.

Source: "Geometric and Dynamic Scaling in Deep Transformers", arXiv 2601.01014 (rank against layer as a protocol);
Dong, Cordonnier, Loukas 2021, arXiv 2103.03404.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.analysis.rank import effective_rank, gram, stable_rank, token_cosine
from surefoot.autodiff.parameters import modes_kept
from surefoot.optim.step_report import as_call
from surefoot.plots import figure, line

COLLAPSED = 2.0  # of effective rank; 1 is all tokens parallel
TOKENS = 256


@dataclass(frozen=True)
class RankProfile:
    """Token statistics behind each layer, in order of execution, as means over the sequences of a batch.

    Attributes
    ----------
    names : of the layers
    effective_rank, stable_rank : of the token matrix; at most the number of tokens
    token_cosine : mean cosine of two different tokens
    rms : root mean square of the entries
    """

    names: tuple[str, ...]
    effective_rank: Float[np.ndarray, " layers"]
    stable_rank: Float[np.ndarray, " layers"]
    token_cosine: Float[np.ndarray, " layers"]
    rms: Float[np.ndarray, " layers"]

    def frame(self) -> pd.DataFrame:
        """One row a layer."""
        columns = {key: value for key, value in vars(self).items() if key != "names"}
        return pd.DataFrame(columns, index=pd.Index(self.names, name="layer"))

    def plot(self) -> Any:
        """Effective rank against depth."""
        depth = range(1, len(self.names) + 1)
        trace = line("effective rank", depth, self.effective_rank.tolist(), "lines+markers")
        trace["text"] = list(self.names)
        return figure([trace], title="Rank of the tokens over depth", x="layer", y="effective rank", log_y=True)


@dataclass(frozen=True)
class CollapseReport:
    """The profile, the first layer whose tokens have an effective rank below 2 (None: no layer), and advice."""

    profile: RankProfile
    layer: str | None
    advice: str


def rank_profile(
    model: nn.Module, batch: Any, layers: Sequence[str] | None = None, batch_first: bool = True
) -> RankProfile:
    """Token statistics behind each block of a model on a batch; the model is left as it is.

    Parameters
    ----------
    model : run in eval mode
    batch : what it is called with: a tensor, a tuple of arguments, or a mapping of keywords
    layers : names as in ``model.named_modules()``; by default the members of the model's longest
        :class:`~torch.nn.ModuleList` or :class:`~torch.nn.Sequential` of modules of one class
    batch_first : outputs are (batch, tokens, …), else (tokens, batch, …); whatever follows is one vector a token. At
        most 256 tokens are read

    Raises
    ------
    ValueError
        For a name that is not there, a layer that did not run or gave no tokens, a model without blocks.
    """
    modules = dict(model.named_modules())
    names = _blocks(model) if layers is None else list(layers)
    missing = [name for name in names if name not in modules]
    if missing or not names:
        raise ValueError(f"layers: {missing or 'none found'}; must be among {', '.join(list(modules)[1:8])}, …")
    rows: dict[str, tuple[float, ...]] = {}

    def keeper(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, args: Any, output: Any) -> None:
            out = output[0] if isinstance(output, tuple) else output
            if not isinstance(out, Tensor) or out.dim() < 3:
                raise ValueError(f"layers: {name!r} gave no tensor of (batch, tokens, features); name other layers")
            rows[name] = _statistics(out if batch_first else out.transpose(0, 1))

        return keep

    handles = [modules[name].register_forward_hook(keeper(name)) for name in names]
    call = as_call(batch)
    try:
        with modes_kept(model), torch.no_grad():
            model.eval()
            model(*call.args, **call.kwargs)
    finally:
        for handle in handles:
            handle.remove()
    silent = [name for name in names if name not in rows]
    if silent:
        raise ValueError(f"layers: {silent} did not run in the model's forward")
    return RankProfile(tuple(rows), *(np.array(column) for column in zip(*rows.values(), strict=True)))


def collapse_report(
    model: nn.Module, batch: Any, layers: Sequence[str] | None = None, batch_first: bool = True
) -> CollapseReport:
    """Where the tokens of a batch become one vector, if they do, and what to do about it.

    Parameters and errors are those of :func:`rank_profile`.
    """
    profile = rank_profile(model, batch, layers, batch_first)
    low = np.flatnonzero(~(profile.effective_rank >= COLLAPSED))
    if not len(low):
        kept = profile.effective_rank[-1] / profile.effective_rank[0]
        return CollapseReport(profile, None, f"tokens stay apart: {kept:.2g} of the effective rank is there at the end")
    layer = profile.names[low[0]]
    advice = (
        f"from {layer} on tokens are one vector: put the norms inside the branches (pre-norm); beyond some 50 blocks "
        "gate and erase what is written (surefoot.nn.mgt.MGTConnection)"
    )
    return CollapseReport(profile, layer, advice)


def _statistics(out: Tensor) -> tuple[float, ...]:
    """Of (batch, tokens, …): effective rank, stable rank, token cosine, RMS."""
    rows = out[:, :TOKENS].flatten(2)
    grams = gram(rows).cpu().numpy()
    told = [float(np.mean(of(grams))) for of in (effective_rank, stable_rank, token_cosine)]
    return *told, float(rows.float().square().mean().sqrt())


def _blocks(model: nn.Module) -> list[str]:
    best: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList | nn.Sequential) and len({type(child) for child in module}) == 1:
            members = [f"{name}.{i}" if name else str(i) for i in range(len(module))]
            best = members if len(members) > len(best) else best
    return best
