"""What a finite width does to a critical network: how far single ones stray from the mean, and how deep is too deep.

Source: Roberts, Yaida, Hanin, "The Principles of Deep Learning Theory", Cambridge University Press 2022,
arXiv 2106.10165, chapters 4 and 5 (vertex), appendix A (optimal aspect ratio). The exact variance of scale-invariant
networks is a product of independent layers' factors, derived for this package.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.init.activations import Activation, as_function
from surefoot.init.critical import dense_layers
from surefoot.init.criticality import critical_point


def exact_variance(nu: float, width: int, depth: int) -> float:
    """Var(q)/K² of q = mean of the squared preactivations of the last layer, over critical scale-invariant networks.

    (1 + ν/n)^(L−1) (1 + 2/n) − 1, for networks of one width without biases and any scale-invariant activation. Its
    first order in 1/n is what the vertex V of :func:`kernel_flow` gives.

    Parameters
    ----------
    nu : of :class:`CriticalPoint`
    width, depth : n and L, 1 or more
    """
    if width < 1 or depth < 1:
        raise ValueError(f"width, depth: got {width} and {depth}; both are at least 1")
    return (1 + nu / width) ** (depth - 1) * (1 + 2 / width) - 1


def variance_chain(
    act: Activation,
    width: int,
    depth: int,
    n_samples: int,
    *,
    C_b: float | None = None,
    C_W: float | None = None,
    K1: float = 1.0,
    gamma: float = 0.0,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "samples depth"]:
    """q, the mean squared preactivation of each layer, over an ensemble of random networks, without their weights.

    Given the layer before, preactivations are independent normals of one variance s' = C_b + C_W/n Σ_j σ(z_j)², around
    γ z_j where there is a skip connection. Exact, and a factor ``width`` cheaper than networks.

    Parameters
    ----------
    act : activation
    width, depth : of the networks
    n_samples : how many networks
    C_b, C_W : by default those of the critical point
    K1 : variance of the first preactivations
    gamma : factor of the skip connection
    generator : to draw from; by default PyTorch's own

    Returns
    -------
    Tensor
        float64.

    Raises
    ------
    ValueError
        If a size is below 1, or C_b and C_W are not given and there is no critical point.
    """
    if min(width, depth, n_samples) < 1:
        raise ValueError(f"width, depth, n_samples: got {width}, {depth}, {n_samples}; each is at least 1")
    if C_b is None or C_W is None:
        point = critical_point(act, gamma)
        if point.kind == "none":
            raise ValueError("C_b, C_W: the activation has no critical point; give both")
        C_b, C_W = point.C_b if C_b is None else C_b, point.C_W if C_W is None else C_W
    function = as_function(act)
    variance = torch.full((n_samples, 1), float(K1), dtype=torch.float64)
    z: Tensor | None = None
    layers = []
    with torch.no_grad():
        for _ in range(depth):
            new = torch.randn(n_samples, width, dtype=torch.float64, generator=generator).mul_(variance.sqrt())
            z = new if z is None or not gamma else new.add_(z, alpha=gamma)
            layers.append(z.square().mean(dim=1))
            variance = C_b + C_W * function(z).square().mean(dim=1, keepdim=True)
    return torch.stack(layers, dim=1)


def optimal_aspect_ratio(act: Activation, n_out: int, gamma: float = 0.0) -> float:
    """Depth over width r* = 4/((20 + 3 n_out) ν) that maximises the information that layers carry (appendix A).

    Raises
    ------
    ValueError
        If there is no critical point with a known ν, or ``n_out`` is below 1.
    """
    point = critical_point(act, gamma)
    if not math.isfinite(point.nu):
        raise ValueError("act: the growth ν of its fluctuations is not known, so neither is the ratio")
    if n_out < 1:
        raise ValueError(f"n_out: got {n_out}; use the number of outputs, 1 or more")
    return 4 / ((20 + 3 * n_out) * point.nu)


@dataclass(frozen=True)
class AspectReport:
    """How deep a network is for its width.

    Attributes
    ----------
    ratio : r = Σ 1/n over the hidden layers; depth/width where all are of one width
    optimum : r* of :func:`optimal_aspect_ratio`
    log_gradient_std : standard deviation, over networks, of ln of the squared gradient, √(ν r)
    """

    ratio: float
    optimum: float
    log_gradient_std: float


def aspect_report(model: nn.Module, act: Activation, gamma: float = 0.0) -> AspectReport:
    """Depth against width of a model's Linear and Conv layers, the last of which is its output.

    Raises
    ------
    ValueError
        If the model has less than two such layers; see :func:`optimal_aspect_ratio` for the activation.
    """
    widths = [module.weight.shape[0] for _, module, _ in dense_layers(model)]
    if len(widths) < 2:
        raise ValueError(f"model: it has {len(widths)} Linear or Conv layers; a hidden one and an output are needed")
    ratio = sum(1 / width for width in widths[:-1])
    optimum = optimal_aspect_ratio(act, widths[-1], gamma)
    return AspectReport(ratio, optimum, math.sqrt(critical_point(act, gamma).nu * ratio))


@dataclass(frozen=True)
class MeasuredFlow:
    """Averages over networks, layer by layer; each of shape (depth,), susceptibilities (depth − 1,).

    Attributes
    ----------
    K : mean squared preactivation
    var_q : variance over networks of its mean over units
    chi_par, chi_perp : growth of a small change of the preactivations' norm, and of one in a random direction of equal
        norm
    """

    K: Float[np.ndarray, " depth"]
    var_q: Float[np.ndarray, " depth"]
    chi_par: Float[np.ndarray, " between"]
    chi_perp: Float[np.ndarray, " between"]


def measure_flow(
    model: nn.Sequential,
    x: Float[Tensor, " features"],
    draw: Callable[[nn.Module], object],
    n_seeds: int = 100,
    generator: torch.Generator | None = None,
) -> MeasuredFlow:
    """Measure on networks what :func:`kernel_flow` predicts.

    Parameters
    ----------
    model
        Linear layers and activations in a row; a copy of it is drawn anew for each network.
    x
        One input.
    draw
        Initialises a network in place, such as ``lambda m: critical_(m, "gelu")``.
    n_seeds
        How many networks.
    generator
        For the random directions; by default PyTorch's own.

    Raises
    ------
    ValueError
        If ``model`` has no Linear layer, or ``n_seeds`` is below 2.
    """
    net = copy.deepcopy(model).double()
    blocks = _blocks(net)
    if not blocks or n_seeds < 2:
        raise ValueError(f"model, n_seeds: got {len(blocks)} Linear layers and {n_seeds} networks; use 1 and 2 or more")
    squares = torch.empty(n_seeds, len(blocks), dtype=torch.float64)
    growth = torch.empty(n_seeds, len(blocks) - 1, 2, dtype=torch.float64)
    with torch.no_grad():
        for seed in range(n_seeds):
            draw(net)
            z = x.double()
            for i, block in enumerate(blocks):
                before, z = z, block(z)
                squares[seed, i] = z.square().mean()
                if i:
                    growth[seed, i - 1, 0], growth[seed, i - 1, 1] = _growth(block, before, z, generator)
    mean = growth.mean(dim=0).numpy()
    return MeasuredFlow(squares.mean(0).numpy(), squares.var(0).numpy(), mean[:, 0], mean[:, 1])


def _blocks(model: nn.Sequential) -> list[nn.Sequential]:
    """The model cut behind each Linear layer."""
    blocks: list[nn.Sequential] = []
    held: list[nn.Module] = []
    for module in model:
        held.append(module)
        if isinstance(module, nn.Linear):
            blocks.append(nn.Sequential(*held))
            held = []
    return blocks


def _growth(
    block: nn.Module, before: Tensor, after: Tensor, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """χ_∥ and χ_⊥ of one block at one point."""
    direction = torch.randn(before.shape, dtype=before.dtype, generator=generator)
    direction -= before * (direction @ before) / before.square().sum()
    along = torch.func.jvp(block, (before,), (before,))[1]
    across = torch.func.jvp(block, (before,), (direction,))[1]
    return (after * along).mean() / before.square().mean(), across.square().mean() / direction.square().mean()
