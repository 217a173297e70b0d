"""How far a step may go along its own direction before a Taylor model of the cross-entropy stops converging.

Along a line θ + t·v with linearised logits z + t·a the loss of a sample is −z_y − a_y·t + log F(t), with
F(t) = Σ_k exp(z_k + a_k·t). F has no real zero but complex ones, where log F branches; the nearest one is the radius of
convergence at t = 0. No zero is nearer than π over the spread of the slopes a.

Source: P. Sao, "Ghosts of Softmax: Complex Singularities That Limit Safe Step Sizes in Cross-Entropy", arXiv 2603.13552
(2026), sections 2 to 4.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Link = Literal["softmax", "sigmoid"]
Reduce = Literal["min", "none"] | float


def slope_spread(
    slopes: Float[Tensor, "*batch classes"],
    mask: Bool[Tensor, "*batch"] | None = None,
    *,
    link: Link = "softmax",
) -> Float[Tensor, " samples"]:
    """Spread Δ_a = max_k a_k − min_k a_k of the logits' slopes, for each sample (section 3).

    Parameters
    ----------
    slopes : derivative of the logits along the direction of the step, classes last; every leading dimension counts
        samples (tokens of a sequence are samples)
    mask : True where a sample counts (not padding, not an ignored target)
    link : ``"sigmoid"`` for independent yes/no outputs (binary cross-entropy with logits): each output is a binary
        problem against a logit of 0, so the spread is its largest absolute slope

    Returns
    -------
    One spread a sample that counts, in the order of the flattened leading dimensions; in logits per unit of length of
    the direction; float32 at least.

    Raises
    ------
    ValueError
        If there is no class dimension, or only one class under a softmax; if the mask does not match.
    """
    rows = _rows(slopes, mask, "slopes")
    if link == "sigmoid":
        return rows.abs().amax(dim=-1)
    if link != "softmax":
        raise ValueError(f"link: got {link!r}; use 'softmax' or 'sigmoid'")
    if rows.shape[-1] < 2:
        raise ValueError(
            f"slopes: a softmax over {rows.shape[-1]} class has no loss; put classes last, or use link='sigmoid' for "
            "one output a sample with binary cross-entropy"
        )
    low, high = rows.aminmax(dim=-1)
    return high - low


def convergence_radius(
    slopes: Float[Tensor, "*batch classes"],
    *,
    temperature: float = 1.0,
    reduce: Reduce = "min",
    mask: Bool[Tensor, "*batch"] | None = None,
    link: Link = "softmax",
) -> Float[Tensor, ...]:
    """Lower bound ρ_a = π·T/Δ_a of the radius of convergence (Theorem of section 3; temperature: section 5).

    Parameters
    ----------
    slopes, mask, link : as for :func:`slope_spread`
    temperature : T, where the loss is taken on logits / T
    reduce : ``"min"``: over samples, the bound for the whole set. ``"none"``: one radius a sample. A number q in
        (0, 1): the q-quantile over samples, which outliers do not drive; a step inside it is **not** inside the bound
        of every sample any more

    Returns
    -------
    Length along the direction, in the units of the parameters; inf where all slopes are equal.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature: got {temperature}; use a positive number")
    spread = slope_spread(slopes, mask, link=link)
    if not spread.numel():
        raise ValueError("slopes: no sample counts (the batch is empty, or the mask is False everywhere)")
    radii = math.pi * temperature / spread
    if reduce == "min":
        return radii.amin()
    if reduce == "none":
        return radii
    if isinstance(reduce, float) and 0 < reduce < 1:
        return math.pi * temperature / _upper_quantile(spread, reduce)
    raise ValueError(f"reduce: got {reduce!r}; use 'min', 'none' or a quantile between 0 and 1 such as 0.01")


def binary_radius(gap: Float[Tensor, "*batch"], spread: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Exact radius √(δ² + π²)/Δ_a of two classes (section 3).

    Parameters
    ----------
    gap : difference δ of the two logits, of any sign
    spread : |a_1 − a_2|, not negative

    Returns
    -------
    Length along the direction; inf where the spread is 0.
    """
    if bool((spread < 0).any()):
        raise ValueError("spread: got a negative value; it is the absolute difference of the two slopes")
    return torch.hypot(gap, gap.new_tensor(math.pi)) / spread


def top2_radius(
    logits: Float[Tensor, "*batch classes"],
    slopes: Float[Tensor, "*batch classes"],
    *,
    mask: Bool[Tensor, "*batch"] | None = None,
) -> Float[Tensor, " samples"]:
    """Binary radius of the two largest logits of each sample: a heuristic that sees the margin, **not** a bound.

    A third class can put a nearer zero; take the minimum over samples for a set (section 3).
    """
    if logits.shape != slopes.shape:
        raise ValueError(f"slopes: got shape {tuple(slopes.shape)}; use that of the logits, {tuple(logits.shape)}")
    z, a = _rows(logits, mask, "logits"), _rows(slopes, mask, "slopes")
    if z.shape[-1] < 2:
        raise ValueError("logits: at least two classes are needed, classes last")
    top, index = z.topk(2, dim=-1)
    pair = a.gather(-1, index)
    return binary_radius(top[:, 0] - top[:, 1], (pair[:, 0] - pair[:, 1]).abs())


def normalized_step(length: float | Tensor, radius: float | Tensor) -> float | Tensor:
    """Dimensionless step r = τ/ρ_a: inside the radius of convergence below 1 (section 4).

    Parameters
    ----------
    length : norm τ of the update that is really added to the parameters
    radius : along the direction of that update; may be inf, where r is 0

    Raises
    ------
    ValueError
        If the radius is not positive, or the length negative.
    """
    if bool(torch.as_tensor(radius).le(0).any()):
        raise ValueError(f"radius: got {radius}; it is positive, or inf")
    if bool(torch.as_tensor(length).lt(0).any()):
        raise ValueError(f"length: got {length}; it is a norm")
    return length / radius


def _upper_quantile(spread: Tensor, q: float) -> Tensor:
    """The spread whose radius is the q-quantile of the radii: the share q of samples has a larger spread."""
    rank = max(1, math.ceil(q * spread.numel()))
    return spread.topk(rank).values[-1]


def _rows(values: Tensor, mask: Tensor | None, name: str) -> Tensor:
    """(…, classes) as (samples, classes) in float32 at least, only the samples that count."""
    if values.dim() == 0:
        raise ValueError(f"{name}: got a number; classes are the last dimension")
    if not values.is_floating_point():
        raise TypeError(f"{name}: got {values.dtype}; use a floating-point tensor")
    rows = values.reshape(-1, values.shape[-1])
    if mask is not None:
        if mask.dtype != torch.bool or mask.shape != values.shape[:-1]:
            raise ValueError(
                f"mask: got {mask.dtype} of shape {tuple(mask.shape)}; use bool of shape {tuple(values.shape[:-1])}"
            )
        rows = rows[mask.reshape(-1)]
    return rows if rows.dtype in (torch.float32, torch.float64) else rows.float()
