"""What a step along linearised logits does to the predicted probabilities: divergence and its remainder.

Source: P. Sao, "Ghosts of Softmax", arXiv 2603.13552 (2026), appendix on the divergence of one step. The paper prints
the arguments of the divergence the other way round; the identity here was checked numerically.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor


def divergences(
    logits: Float[Tensor, "*batch classes"], slopes: Float[Tensor, "*batch classes"], length: float
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Divergence between the predictions before and after a step of this length along the slopes.

    Returns
    -------
    KL(p_0‖p_t), KL(p_t‖p_0) and the quadratic model t²·Var_{p_0}(a)/2 of both, in nats.

    Notes
    -----
    With K(t) = log Σ exp(z + t·a), KL(p_0‖p_t) = K(t) − K(0) − t·K'(0): the Taylor remainder of the loss.
    """
    if logits.shape != slopes.shape:
        raise ValueError(f"slopes: got shape {tuple(slopes.shape)}; use that of the logits, {tuple(logits.shape)}")
    before = torch.log_softmax(logits, dim=-1)
    after = torch.log_softmax(logits + length * slopes, dim=-1)
    p = before.exp()
    forward = (p * (before - after)).sum(dim=-1)
    backward = (after.exp() * (after - before)).sum(dim=-1)
    mean = (p * slopes).sum(dim=-1, keepdim=True)
    quadratic = 0.5 * length**2 * (p * (slopes - mean).square()).sum(dim=-1)
    return forward, backward, quadratic


def remainder_bound(
    spread: Float[Tensor, "*batch"], length: float, direction: Literal["forward", "backward"] = "forward"
) -> Float[Tensor, "*batch"]:
    """Largest distance of a divergence of :func:`divergences` from the quadratic model.

    Parameters
    ----------
    spread : Δ_a of the slopes
    length : of the step
    direction : ``"forward"``, KL(p_0‖p_t): |t|³Δ_a³/(36√3), proved. ``"backward"``, KL(p_t‖p_0): |t|³Δ_a³/(18√3), the
        paper's constant, proved to leading order only
    """
    if direction not in ("forward", "backward"):
        raise ValueError(f"direction: got {direction!r}; use 'forward' or 'backward'")
    share = 36 if direction == "forward" else 18
    return (abs(length) * spread) ** 3 / (share * math.sqrt(3))


def third_moment_bound(width: float) -> float:
    """Largest absolute third central moment of a law on an interval: width³/(6√3).

    Attained by a law on the two ends with probabilities (3 ± √3)/6.
    """
    if width < 0:
        raise ValueError(f"width: got {width}; use 0 or more")
    return width**3 / (6 * math.sqrt(3))
