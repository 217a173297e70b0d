"""The step that a run has just taken, measured in radii of convergence, without waiting for a device.

Source: P. Sao, "Ghosts of Softmax", arXiv 2603.13552 (2026), sections 3 and 4. With the slopes a of the logits along
the whole update Δθ, r = τ/ρ needs no norm: π over their spread is ρ_a/τ.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from surefoot.optim.safe_radius import Link


def step_ratios(
    logits: Float[Tensor, "*batch classes"], moved: Float[Tensor, "*batch classes"], link: Link = "softmax"
) -> Float[Tensor, "*batch"]:
    """r = τ/ρ of each sample for a step along which the linearised logits change by ``moved``.

    With two classes, and for yes/no outputs, ρ is the exact radius √(δ² + π²)/Δ; with more it is the bound π/Δ.
    A sample with several yes/no outputs has the largest r of them.

    Parameters
    ----------
    logits : before the step
    moved : their directional derivative along the whole update
    link : ``"sigmoid"`` for binary cross-entropy with logits, where every output is a binary problem

    Raises
    ------
    ValueError
        If shapes differ, or there is one class under a softmax.
    """
    if logits.shape != moved.shape:
        raise ValueError(f"moved: got shape {tuple(moved.shape)}; must be that of the logits, {tuple(logits.shape)}")
    logits, moved = (t if t.dtype == torch.float64 else t.float() for t in (logits, moved))
    if link == "sigmoid":
        return (moved.abs() / torch.hypot(logits, torch.full_like(logits, math.pi))).amax(dim=-1)
    if logits.shape[-1] < 2:
        raise ValueError("logits: a softmax over one class has no loss; use link='sigmoid' for one output a sample")
    low, high = moved.aminmax(dim=-1)
    if logits.shape[-1] == 2:
        gap = logits[..., 0] - logits[..., 1]
        return (high - low) / torch.hypot(gap, torch.full_like(gap, math.pi))
    return (high - low) / math.pi


def ratio_summary(
    ratios: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"] | None = None
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The largest r over the samples that count, and their median."""
    rows = ratios.reshape(-1)
    if mask is not None:
        rows = torch.where(mask.reshape(-1), rows, torch.nan)
    # a NaN among the logits themselves must show
    broken = torch.isnan(ratios.reshape(-1)).any()
    largest = torch.where(torch.isnan(rows), -torch.inf, rows).amax()
    return torch.where(broken, torch.nan, largest), torch.where(broken, torch.nan, rows.nanmedian())
