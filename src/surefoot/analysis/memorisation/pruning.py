"""Accuracy as neurons are pruned in the order of their periodicity: who memorises and who generalises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from surefoot.analysis.memorisation.neurons import (
    HiddenLayer,
    hidden_layer,
    neuron_ipr,
    outgoing_linear,
    prune_neurons,
)
from surefoot.analysis.memorisation.report import (
    CorruptedData,
    Loss,
    MemorizationReport,
    all_logits,
    one_hot_squared_error,
    report_of_logits,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

Order = Literal["low", "high", "random"]
Method = Literal["auto", "cumulative", "forward"]


@dataclass(frozen=True)
class PruningSweep:
    """Reports along a pruning order.

    Attributes
    ----------
    table : a row a point: ``pruned`` (number of neurons), ``fraction``, and the columns of ``MemorizationReport``
    order, method : the order asked for, and the method used
    neurons : int [N], the order in which the neurons go
    """

    table: pd.DataFrame
    order: Order
    method: Literal["cumulative", "forward"]
    neurons: Int[Tensor, " neurons"]

    def at(self, fraction: float) -> pd.Series:
        """The row nearest to a pruned fraction."""
        return self.table.iloc[int((self.table["fraction"] - fraction).abs().argmin())]

    def plot(self) -> go.Figure:
        """Accuracies against the pruned fraction."""
        from surefoot.plots import figure

        lines = [
            {"type": "scatter", "mode": "lines", "name": name, "x": self.table["fraction"], "y": self.table[name]}
            for name in ("train", "memorised", "recovered", "clean_train", "test")
        ]
        title = {"low": "lowest IPR first", "high": "highest IPR first", "random": "random order"}[self.order]
        return figure(lines, title=f"Pruning, {title}", x="fraction of neurons pruned", y="accuracy")


@torch.no_grad()
def pruning_sweep(
    model: nn.Module,
    data: CorruptedData,
    order: Order = "low",
    fractions: Sequence[float] | None = None,
    *,
    layer: HiddenLayer | None = None,
    method: Method = "auto",
    loss: Loss = one_hot_squared_error,
    evaluate: Callable[[Tensor], MemorizationReport] | None = None,
    seed: int | torch.Generator = 0,
) -> PruningSweep:
    """Prune the neurons of a layer one after the other and report accuracies and losses at every point.

    Where the outgoing layer gives the logits, these are sums over the kept neurons. The whole sweep is then one forward
    pass with a cumulative sum over blocks of neurons, added back from none to all, instead of a forward pass a point.

    Parameters
    ----------
    model : any model with such a layer; it is not changed
    order : lowest IPR first, highest IPR first, or random
    fractions : pruned shares in [0, 1]; every number of neurons from 0 to N where None
    layer : found by :func:`~surefoot.analysis.memorisation.hidden_layer` where not given
    method : "cumulative", "forward" (a pruned copy and a forward pass a point), or "auto": cumulative where it agrees
        with one pruned copy. It does not where neurons meet before the logits, as in layer normalisation,
        and is not taken in half precision
    loss : of (logits, labels), a value a row
    evaluate : logits of all rows of ``data.x`` in, report out, in place of the accuracies and losses of ``data``
    seed : of the random order; an int or a CPU ``torch.Generator``

    Raises
    ------
    ValueError
        If the order or method is unknown, a fraction is out of [0, 1], or "cumulative" is asked for where it is wrong.

    Source: Doshi et al. 2024 (arXiv 2310.13061).
    """
    if order not in ("low", "high", "random"):
        raise ValueError(f"order must be 'low', 'high' or 'random', got {order!r}")
    if method not in ("auto", "cumulative", "forward"):
        raise ValueError(f"method must be 'auto', 'cumulative' or 'forward', got {method!r}")
    layer = layer or hidden_layer(model)
    ipr = neuron_ipr(model, layer)
    count = ipr.numel()
    if fractions is None:
        counts = list(range(count + 1))
    else:
        if not len(fractions) or min(fractions) < 0 or max(fractions) > 1:
            raise ValueError(f"fractions must be shares in [0, 1], got {list(fractions)}")
        counts = sorted({round(share * count) for share in fractions})
    if order == "random":
        generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
        neurons = torch.randperm(count, generator=generator).to(ipr.device)
    else:
        neurons = ipr.argsort(descending=order == "high", stable=True)
    evaluate = evaluate or (lambda logits: report_of_logits(logits, data, loss))

    adds_up = method != "forward" and _adds_up(model, data.x, layer, neurons)
    if method == "cumulative" and not adds_up:
        raise ValueError("method 'cumulative' needs logits that are sums over the layer's neurons; take 'forward'")
    points = _cumulative if adds_up else _forward
    reports = {pruned: evaluate(logits) for pruned, logits in points(model, data.x, layer, neurons, counts)}
    rows = [{"pruned": n, "fraction": n / count, **reports[n].as_dict()} for n in counts]
    return PruningSweep(pd.DataFrame(rows), order, "cumulative" if adds_up else "forward", neurons)


def _forward(
    model: nn.Module, x: Tensor, layer: HiddenLayer, neurons: Tensor, counts: Sequence[int]
) -> Iterator[tuple[int, Tensor]]:
    for pruned in counts:
        yield pruned, all_logits(prune_neurons(model, neurons[:pruned], layer), x)


def _cumulative(
    model: nn.Module, x: Tensor, layer: HiddenLayer, neurons: Tensor, counts: Sequence[int]
) -> Iterator[tuple[int, Tensor]]:
    """Logits at every count, from all neurons pruned to none; the tensor yielded is overwritten by the next point."""
    read, hidden, _ = _read(model, x, layer)
    weight = read.weight.T[neurons]
    hidden = hidden.T[neurons]  # a row a neuron, in the order of pruning, so that blocks are contiguous
    logits = weight.new_zeros(x.shape[0], weight.shape[1])
    if read.bias is not None:
        logits += read.bias
    upper = len(neurons)
    for pruned in sorted(counts, reverse=True):
        logits.addmm_(hidden[pruned:upper].T, weight[pruned:upper])
        upper = pruned
        yield pruned, logits


def _read(model: nn.Module, x: Tensor, layer: HiddenLayer) -> tuple[nn.Linear, Float[Tensor, "rows neurons"], Tensor]:
    """The outgoing layer, what it reads on ``x``, and the logits of the whole model."""
    read = outgoing_linear(model, layer)
    kept: list[Tensor] = []
    handle = read.register_forward_pre_hook(lambda _module, inputs: kept.append(inputs[0].detach()))
    try:
        logits = all_logits(model, x)
    finally:
        handle.remove()
    return read, kept[0] if kept else logits.new_empty(0), logits


def _adds_up(model: nn.Module, x: Tensor, layer: HiddenLayer, neurons: Tensor) -> bool:
    """Whether the logits with and without half of the neurons are the sums over those kept."""
    read, hidden, whole = _read(model, x, layer)
    eps = torch.finfo(whole.dtype).eps
    if eps > 1e-6:  # half precision: its rounding hides what is asked here
        return False
    if hidden.dim() != 2 or hidden.shape[0] != whole.shape[0] or whole.shape[1:] != (read.out_features,):
        return False
    half = neurons[: len(neurons) // 2]
    pruned = all_logits(prune_neurons(model, half, layer), x)
    for logits, kept in ((whole, neurons), (pruned, neurons[len(half) :])):
        summed = torch.nn.functional.linear(hidden[:, kept], read.weight[:, kept], read.bias)
        scale = float(whole.abs().max()) + 1e-30
        if float((summed - logits).abs().max()) > 1e3 * eps * scale:
            return False
    return True
