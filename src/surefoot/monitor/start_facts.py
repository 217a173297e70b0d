"""What a forward and a backward told of a model's start, as numbers for the record (event ``start``)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.analysis.propagation import Chain, chain_report
from surefoot.analysis.residual_expansion import beyond_first_order, effective_depth
from surefoot.init import critical_point
from surefoot.observe.start import StartProbe

_ADAM_EPS, _HALF = 1e-8, 2.0**-24
_MOST = 1 << 18  # elements of a gradient that are read


def start_facts(probe: StartProbe, model: nn.Module, *, gradients: bool) -> dict[str, Any]:
    """Layers, chain against theory, residual blocks, peaks and hazards of number formats.

    Parameters
    ----------
    probe : has seen a forward of ``model`` and the backward through it
    model : its parameters still hold the gradients
    gradients : whether these are a loss's, so that their size means something
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    chain = chain_report(probe.layers, probe.activations)
    sizes = [size for size in probe.residual.values() if math.isfinite(size)]
    facts: dict[str, Any] = {
        "chain": None if chain is None else _plain(chain),
        "layers": [asdict(layer) for layer in probe.layers],
        "alone": _alone(probe),
        "residual": probe.residual,
        "blocks": probe.blocks,
        "path_depth": effective_depth(sizes),
        "longer_paths": beyond_first_order(sizes),
        "peak": probe.peak,
        "peak_at": probe.peak_at,
        "norms": _worst_norm(probe.norms),
        "half": _half(trained),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    if gradients:
        facts["gradients"] = _small_gradients(model)
    return facts


def _plain(chain: Chain) -> dict[str, Any]:
    """As it goes to the record."""
    return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in asdict(chain).items()}


def _alone(probe: StartProbe) -> dict[str, Any] | None:
    """The commonest activation that is a module, and where it is critical with nothing else between layers."""
    if not probe.counts:
        return None
    name = probe.counts.most_common(1)[0][0]
    try:
        return {"activation": name, "point": asdict(critical_point(probe.activations.get(name, name)))}
    except (ValueError, RuntimeError):  # it overflows, or has no derivative
        return None


def _worst_norm(norms: Mapping[str, tuple[float, float]]) -> dict[str, Any] | None:
    """Of those that have something to normalise, where ε is largest against the variance it is added to."""
    known = {name: pair for name, pair in norms.items() if pair[1] > 0}
    if not known:
        return None
    name = max(known, key=lambda name: known[name][0] / known[name][1])
    return {"name": name, "eps": known[name][0], "variance": known[name][1]}


@torch.no_grad()
def _half(trained: Sequence[Tensor]) -> dict[str, Any] | None:
    """Weights of 16 bits: their type, number, and root mean square."""
    matrices = [p for p in trained if p.dtype in (torch.bfloat16, torch.float16) and p.dim() > 1]
    if not matrices:
        return None
    sizes = [float(p.flatten()[:_MOST].float().square().mean().sqrt()) for p in matrices]
    dtype = str(matrices[0].dtype).removeprefix("torch.")
    return {"dtype": dtype, "tensors": len(matrices), "rms": float(np.median(sizes))}


@torch.no_grad()
def _small_gradients(model: nn.Module) -> dict[str, Any]:
    """How many weights' gradients are below Adam's ε, and what share of elements float16 would flush to zero.

    Weights of two dimensions or more: a bias before a normalisation, say, has no gradient but rounding errors.
    """
    below, flushed, count, smallest, smallest_at = [], 0.0, 0, math.inf, ""
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2 or parameter.grad is None or parameter.grad.is_sparse:
            continue
        size = parameter.grad.flatten()[:_MOST].abs().float()
        if not bool((size > 0).any()):
            continue
        rms = float(size.square().mean().sqrt())
        count += 1
        flushed += float(((size > 0) & (size < _HALF)).sum() / (size > 0).sum())
        if rms < _ADAM_EPS:
            below.append(name)
        if rms < smallest:
            smallest, smallest_at = rms, name
    return {
        "tensors": count,
        "below_eps": below,
        "flushed": flushed / count if count else math.nan,
        "smallest": smallest,
        "smallest_at": smallest_at,
    }
