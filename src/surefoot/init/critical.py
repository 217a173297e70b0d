"""Draw a network's weights at the critical point of its activation, and set learning rates layer by layer.

Source: Roberts, Yaida, Hanin, "The Principles of Deep Learning Theory", Cambridge University Press 2022,
arXiv 2106.10165, chapters 5 (initialisation) and 9 (equal contribution of all layers to the tangent kernel).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.init.activations import Activation, name_of
from surefoot.init.criticality import CriticalPoint, critical_point
from surefoot.init.flow import kernel_flow

Dense = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
_ADAPTIVE = ("Adam", "RMSprop", "Adagrad", "Adadelta", "Rprop", "Lion", "Adafactor", "Muon")


@dataclass(frozen=True)
class InitPlan:
    """What :func:`critical_` has drawn from.

    Attributes
    ----------
    point : the critical point
    layers : name of each layer, its fan-in, and the standard deviations of its weights and biases
    """

    point: CriticalPoint
    layers: tuple[tuple[str, int, float, float], ...]


def dense_layers(model: nn.Module) -> Iterator[tuple[str, Dense, int]]:
    """Linear and convolution layers in the order in which they are registered: name, module, fan-in."""
    for name, module in model.named_modules():
        if isinstance(module, Dense) and isinstance(module.weight, nn.Parameter) and module.weight.numel():
            yield name, module, module.weight[0].numel()


@torch.no_grad()
def critical_(
    model: nn.Module,
    act: Activation,
    gamma: float = 0.0,
    input_rms: float = 1.0,
    generator: torch.Generator | None = None,
) -> InitPlan:
    """Draw, in place, all Linear and Conv layers at the critical point of ``act``.

    Weights are normal with variance C_W/fan_in, biases with C_b. The first layer has no activation before it: its
    biases are zero and its weights such that the first preactivations have the variance K*, or 1 where every variance
    is kept or falls slowly (scale-invariant activations; tanh and its like). Other parameters stay as they are.

    Parameters
    ----------
    model
        Layers in the order in which they are registered; a plain chain, or blocks with a skip connection ``gamma``.
        Normalisation pins the variance by itself, and attention is not covered.
    act
        The activation between the layers: a name such as ``"gelu"``, a module, or a function.
    gamma
        Factor of the skip connection, in [0, 1).
    input_rms
        Root mean square of the inputs' entries.
    generator
        To draw from, on the CPU; by default PyTorch's own.

    Returns
    -------
    InitPlan
        The critical point and what was drawn for each layer.

    Raises
    ------
    ValueError
        If the activation has no critical point, the model no such layer, or ``input_rms`` is not positive.

    Source: arXiv 2106.10165, chapter 5.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 10))
    >>> critical_(model, "gelu").point.kind
    'half_stable'
    """
    if not (math.isfinite(input_rms) and input_rms > 0):
        raise ValueError(f"input_rms: got {input_rms}; use a positive number")
    point = critical_point(act, gamma)
    if point.kind == "none":
        raise ValueError(
            f"act: {name_of(act)} has no critical point: no variance of the weights lets a deep network of it pass on "
            "signal and gradient; use another activation (tanh for sigmoid, gelu or silu for softplus), or normalise"
        )
    layers = list(dense_layers(model))
    if not layers:
        raise ValueError(f"model: {type(model).__name__} has no Linear or Conv layer")
    drawn = []
    start = point.K_star if point.kind == "half_stable" else 1.0
    for i, (name, module, fan_in) in enumerate(layers):
        variance = point.C_W if i else start / input_rms**2
        spread, bias_spread = math.sqrt(variance / fan_in), math.sqrt(point.C_b) if i else 0.0
        _normal(module.weight, spread, generator)
        if module.bias is not None:
            _normal(module.bias, bias_spread, generator)
        drawn.append((name, fan_in, spread, bias_spread))
    return InitPlan(point, tuple(drawn))


def critical_lr_groups(
    model: nn.Module,
    act: Activation,
    lr: float,
    gamma: float = 0.0,
    *,
    K1: float | None = None,
    optimizer: type[torch.optim.Optimizer] = torch.optim.SGD,
    force: bool = False,
) -> list[dict[str, Any]]:
    """Parameter groups in which every layer adds the same to the neural tangent kernel of a critical network.

    Biases of layer l step with lr·λ_b, weights with lr·λ_W/fan_in. Scale-invariant activations: λ_b = λ_W = 1/L.
    Class K* = 0 with exponent p: λ_b = L^(p−1) l^(−p), λ_W = (L/l)^(p−1). Others: λ_b = 1/(L P_l) and
    λ_W = 1/(L P_l g) with P_l the product of χ_⊥ from layer l on and g the mean square that enters the layer (the last
    by the same argument, not from the book).

    Parameters
    ----------
    model, act, gamma
        As for :func:`critical_`.
    lr
        Global rate η of gradient descent.
    K1
        Variance of the first preactivations; by default that of :func:`critical_`.
    optimizer
        What the groups are for. Adam and its like rescale every tensor by themselves, which these rates presume
        nobody does.
    force
        Give them all the same.

    Returns
    -------
    list
        Groups for ``torch.optim.SGD(groups, lr=lr)``; parameters of other layers are not among them.

    Raises
    ------
    ValueError
        If the activation has no critical point, the model no layer, or ``optimizer`` is an adaptive one.

    Source: arXiv 2106.10165, section 9.4.
    """
    if not force and any(word in base.__name__ for base in optimizer.__mro__ for word in _ADAPTIVE):
        raise ValueError(
            f"optimizer: {optimizer.__name__} rescales each tensor's step itself; these rates are for SGD (force=True)"
        )
    point = critical_point(act, gamma)
    layers = list(dense_layers(model))
    if point.kind == "none" or not layers:
        what = f"act: {name_of(act)} has no critical point" if layers else "model: no Linear or Conv layer"
        raise ValueError(f"{what}; there is no rate to give")
    depth = len(layers)
    groups: list[dict[str, Any]] = []
    for (_, module, fan_in), bias, weight in zip(layers, *_lambdas(point, act, depth, K1), strict=True):
        groups.append({"params": [module.weight], "lr": lr * weight / fan_in})
        if isinstance(module.bias, nn.Parameter):
            groups.append({"params": [module.bias], "lr": lr * bias})
    return groups


def _lambdas(point: CriticalPoint, act: Activation, depth: int, K1: float | None) -> tuple[np.ndarray, np.ndarray]:
    """λ_b and λ_W of each layer."""
    layer = np.arange(1, depth + 1)
    if point.kind == "scale_invariant":
        return np.full(depth, 1 / depth), np.full(depth, 1 / depth)
    if point.kind == "k_star_zero" and math.isfinite(point.p_perp):
        p = point.p_perp
        return depth ** (p - 1) * layer ** (-p), (depth / layer) ** (p - 1)
    start = K1 if K1 is not None else point.K_star if point.K_star > 0 else 1.0
    flow = kernel_flow(act, point.C_b, point.C_W, depth, start, point.gamma)
    passed = np.append(np.cumprod(flow.chi_perp[:-1][::-1])[::-1], 1.0)  # of layer l: through all that follow
    entering = np.ones(depth)
    entering[1:] = (flow.K[1:] - point.C_b - point.gamma**2 * flow.K[:-1]) / point.C_W
    return 1 / (depth * passed), 1 / (depth * passed * entering)


def _normal(tensor: Tensor, spread: float, generator: torch.Generator | None) -> None:
    if spread == 0:
        tensor.zero_()
        return
    # Drawn on the CPU: one seed gives the same weights on every device.
    wide = torch.empty(tensor.shape, dtype=torch.float64 if tensor.dtype == torch.float64 else torch.float32)
    tensor.copy_(wide.normal_(0.0, spread, generator=generator))
