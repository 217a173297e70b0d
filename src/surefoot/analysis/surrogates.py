"""How far a surrogate gradient is from what it stands for, and how uneven it makes gradients: the two meters of ReSTE.

The closer an estimator comes to sign (estimating error e falls), the more unequal the gradients behind it become
(gradient instability s rises). Where a run stands between the two is what its sharpness decides.
Source: Wu, Zheng, Liu, Zheng, ICCV 2023, arXiv 2308.06689, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.nn.binary.binarize import surrogate_gradient, surrogate_value
from surefoot.nn.binary.estimators import Estimator, ReSTE
from surefoot.nn.binary.layers import BinaryLayer, binary_layers

Reduction = Literal["norm", "mean", "none"]
_FAR = 1e30  # a clip that nothing reaches


def estimating_error(
    z: Float[Tensor, "*shape"], estimator: float | Estimator, reduction: Reduction = "norm"
) -> Float[Tensor, "*result"]:
    """Distance between sign(z) and the estimator's f(z).

    Parameters
    ----------
    z : weights or activations before sign
    estimator : an estimator, or a number: ReSTE of that sharpness o
    reduction : ``"norm"`` is ‖sign(z) − f(z)‖₂ as the paper has it, ``"mean"`` the mean square (free of z's size),
        ``"none"`` the absolute difference of each element

    Raises
    ------
    ValueError
        For an unknown reduction, or a number below 1.

    Source: arXiv 2308.06689, section 3 (estimating error).
    """
    made = estimator if isinstance(estimator, Estimator) else ReSTE(o=estimator, clip=_FAR)
    signs = torch.where(z >= 0, 1, -1).to(z.dtype)
    difference = (signs - surrogate_value(z.detach(), made)).abs()
    if reduction == "none":
        return difference
    if reduction == "mean":
        return difference.square().mean()
    if reduction == "norm":
        return difference.norm()
    raise ValueError(f"reduction: got {reduction!r}; use 'norm', 'mean' or 'none'")


def slope_sums(got: Float[Tensor, " entries"], gave: Float[Tensor, " entries"]) -> Float[Tensor, " 3"]:
    """Of a function that acts on each entry alone: how many entries got a gradient, and the sums of its slopes φ and of
    φ² there. Sums of several calls add up; see :func:`spread_share`.

    Parameters
    ----------
    got, gave : the gradient with respect to the function's output, and what its backward made of that
    """
    got, gave = got.float(), gave.float()
    slope = torch.where(got == 0, 0, gave / got).abs()
    return torch.stack([(got != 0).float().sum(), slope.sum(), slope.square().sum()])


def spread_share(entries: float, first: float, second: float) -> float:
    """(Σ φ)²/(n Σ φ²): the share of entries among which slopes φ spread a gradient; 0 where all are zero."""
    return first**2 / (entries * second) if entries > 0 and second > 0 else 0.0


def gradient_instability(gradients: Iterable[Tensor], reduction: Literal["sum", "mean", "none"] = "sum") -> Tensor:
    """Variance of |g| within each gradient (unbiased), over all of them.

    It scales with the square of the loss: compare runs of one loss only.

    Parameters
    ----------
    gradients : one tensor a layer, each of at least two elements
    reduction : ``"sum"`` as the paper has it, ``"mean"``, or ``"none"`` for one value a tensor

    Returns
    -------
    Tensor
        0-d, or ``(tensors,)``.

    Raises
    ------
    ValueError
        For no gradient, one of a single element, or an unknown reduction.

    Source: arXiv 2308.06689, section 3 (gradient instability).
    """
    given = list(gradients)
    if not given or any(g.numel() < 2 for g in given):
        raise ValueError("gradients: got none, or one of a single element; use the gradients of binarised weights")
    values = torch.stack([g.detach().abs().to(torch.float64).var() for g in given])
    if reduction == "sum":
        return values.sum()
    if reduction == "mean":
        return values.mean()
    if reduction == "none":
        return values
    raise ValueError(f"reduction: got {reduction!r}; use 'sum', 'mean' or 'none'")


def slope_unevenness(z: Float[Tensor, "*shape"], estimator: Estimator) -> Float[Tensor, ""]:
    """Var φ / (E φ)² over the elements of z: how uneven an estimator's slope makes a gradient, free of all scales.

    For z uniform on (0, 1) and ReSTE it is m^p + (1 − m^p)/(p o²) − 1, p = 2/o − 1, m the knee: 0 at o = 1. Infinite
    where every slope is zero.
    """
    slope = surrogate_gradient(z.detach(), estimator)
    return slope.var(unbiased=False) / slope.mean().square()


def layer_surrogate(layer: BinaryLayer) -> tuple[Tensor, Tensor, Tensor]:
    """Root mean square of sign(W) − f(W), Var φ / (E φ)², and the share of weights with φ = 0, at a layer's present
    sharpness: each 0-d, on the layer's device, without waiting for it."""
    weight = layer.weight.detach()
    weight = weight if weight.dtype == torch.float64 else weight.float()
    sharpness = layer.sharpness.to(weight.dtype)
    slope = layer.estimator.slope(weight, sharpness)
    signs = (weight >= 0).to(weight.dtype).mul_(2).sub_(1)
    error = (signs - layer.estimator.value(weight, sharpness)).square().mean().sqrt()
    unevenness = slope.var(unbiased=False) / slope.mean().square()
    return error, unevenness, (slope == 0).to(weight.dtype).mean()


@dataclass(frozen=True)
class LayerEquilibrium:
    """Where one binary layer stands.

    Attributes
    ----------
    error : ‖sign(W) − f(W)‖₂
    instability : variance of |gradient of W|; NaN where it has none
    unevenness : Var φ / (E φ)² over the weights
    frozen : share of the weights beyond the estimator's reach, where φ = 0: they move no more but for their scale
    """

    error: float
    instability: float
    unevenness: float
    frozen: float


def read_equilibrium(model: nn.Module, sharpness: float | None = None) -> dict[str, LayerEquilibrium]:
    """The two meters of every binary layer of a model, from its weights and their present gradients.

    Parameters
    ----------
    sharpness : that of the estimator in the error; the paper takes the schedule's end for a whole run. None takes what
        each layer has now

    Raises
    ------
    ValueError
        If the model has no binary layer.
    """
    layers = binary_layers(model)
    if not layers:
        raise ValueError("model: it has no BinaryLinear or BinaryConv2d to read")
    found = {}
    for name, layer in layers.items():
        weight = layer.weight.detach()
        judged = _at(layer.estimator, float(layer.sharpness) if sharpness is None else sharpness)
        gradient = layer.weight.grad
        _, unevenness, frozen = layer_surrogate(layer)
        found[name] = LayerEquilibrium(
            error=float(estimating_error(weight, judged)),
            instability=math.nan if gradient is None else float(gradient_instability([gradient])),
            unevenness=float(unevenness),
            frozen=float(frozen),
        )
    return found


@dataclass
class EquilibriumState:
    """Readings of a run, summed up: see :func:`update`, :func:`compute`."""

    readings: int = 0
    error: dict[str, float] = field(default_factory=dict)
    instability: dict[str, float] = field(default_factory=dict)


def update(state: EquilibriumState, reading: Mapping[str, LayerEquilibrium]) -> EquilibriumState:
    """Take in a reading (the paper takes one at the end of each epoch)."""
    state.readings += 1
    for name, layer in reading.items():
        state.error[name] = state.error.get(name, 0.0) + layer.error
        state.instability[name] = state.instability.get(name, 0.0) + layer.instability
    return state


@dataclass(frozen=True)
class Equilibrium:
    """A run on the paper's scales: error over its layers, mean of the readings; instability, sum and mean of them."""

    error: float
    instability_sum: float
    instability_mean: float


def compute(state: EquilibriumState) -> Equilibrium:
    """The run's two numbers.

    Raises
    ------
    ValueError
        If nothing was read.
    """
    if not state.readings:
        raise ValueError("state: it holds no reading; call update(state, read_equilibrium(model)) first")
    total = sum(state.instability.values())
    return Equilibrium(sum(state.error.values()) / state.readings, total, total / state.readings)


def recommend_sharpness(runs: Mapping[float, Equilibrium], factor: float = 10.0) -> float:
    """The largest o whose gradients are at most ``factor`` times as unstable as those of the straight-through run.

    Parameters
    ----------
    runs : sharpness o → the run's equilibrium; o = 1 must be among them

    Raises
    ------
    ValueError
        If there is no run at o = 1, or ``factor`` is below 1.
    """
    if 1.0 not in runs:
        raise ValueError(f"runs: got o = {sorted(runs)}; add a run at o = 1, which the others are compared with")
    if not factor >= 1:
        raise ValueError(f"factor: got {factor}; use a number ≥ 1, such as 10")
    bound = factor * runs[1.0].instability_sum
    return max(o for o, run in runs.items() if o == 1 or run.instability_sum <= bound)


def _at(estimator: Estimator, sharpness: float) -> Estimator:
    return replace(estimator, **{estimator.parameter: sharpness}) if estimator.parameter else estimator
