"""Softmax in floating point: when it stops carrying a gradient.

Source of Softmax Collapse: Prieto, Barsbey, Mediano, Birdal, "Grokking at the Edge of Numerical Stability", ICLR 2025,
arXiv 2501.04697.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from surefoot import plots

if TYPE_CHECKING:
    import plotly.graph_objects as go

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def collapsed(log_probabilities: Float[Tensor, "rows classes"]) -> Tensor:
    """Which rows suffer Softmax Collapse, as a boolean tensor over rows.

    A row is collapsed when the sum Σ exp(z − max z) is exactly 1 in the dtype it was computed in: every other class was
    absorbed. The largest log-probability is then exactly 0 and the gradient of the right class vanishes
    (Prieto et al. 2025, "Grokking at the Edge of Numerical Stability", arXiv 2501.04697).

    Parameters
    ----------
    log_probabilities : output of a log-softmax over the last dimension, in the dtype of the training
    """
    return log_probabilities.detach().amax(dim=-1) == 0


def certain(probabilities: Float[Tensor, "rows choices"]) -> Tensor:
    """Which rows are decided beyond what their dtype can tell from certainty, as a boolean tensor over rows: one
    probability is exactly 1, and no gradient comes back through the softmax."""
    return probabilities.detach().amax(dim=-1) == 1


def entropy_of_choice(probabilities: Float[Tensor, "rows choices"]) -> Float[Tensor, ""]:
    """Mean entropy of the rows over that of a free choice, log n: 1 where all are as likely, 0 where it is decided."""
    rows = probabilities.detach().float()
    return torch.special.entr(rows).sum(-1).mean() / math.log(rows.shape[-1])


def row_sum_error(probabilities: Float[Tensor, "rows classes"]) -> Tensor:
    """The largest |Σ_k p_k − 1| over rows, 0-d: tells whether rows are already probabilities."""
    return (probabilities.detach().float().sum(dim=-1) - 1).abs().amax()


def spread(logits: Float[Tensor, "rows classes"]) -> tuple[Tensor, Tensor]:
    """Largest absolute logit and root mean square of the logits, as 0-d float32 tensors."""
    logits = logits.detach().float()
    return logits.abs().amax(), torch.linalg.vector_norm(logits) / max(1, logits.numel()) ** 0.5


def rounded_gradient_share(
    log_probabilities: Float[Tensor, "rows classes"], targets: Int[Tensor, " rows"]
) -> Float[Tensor, ""]:
    """How much of the cross-entropy's gradient on the logits is rounding, 0-d, in [0, 1].

    The gradient of a row, p − y, sums to 0 but for rounding: |Σ_k p_k − 1| is the error, and Σ_{k≠y} p_k is what there
    is to be learned. The share is Σ of the errors over Σ of the masses, so that a batch with one row that is not yet
    fit has a small one, however many of the others collapsed. In a collapsed row the two are the same: p_y was rounded
    to 1 though the p_k are still there.

    Parameters
    ----------
    log_probabilities : output of a log-softmax, in the dtype of the training
    targets : the right class of each row; a row to be left out has a negative one

    Source: arXiv 2501.04697, where such rows are said to have collapsed; the weights by mass are ours.
    """
    log_p = log_probabilities.detach()
    wide = log_p.float() if log_p.device.type == "mps" else log_p.double()
    kept, at = targets >= 0, targets.clamp_min(0)[:, None]
    p = wide.exp()
    mass = p.scatter(1, at, 0.0).sum(dim=1)
    error = (mass + (p.gather(1, at)[:, 0] - 1)).abs()
    share = torch.where(kept, error, 0.0).sum() / torch.where(kept, mass, 0.0).sum()
    # 0/0: even the wrong classes have underflowed, and nothing is left of the gradient
    return torch.where(kept.any(), torch.nan_to_num(share, nan=1.0).clamp(max=1.0), math.nan)


def headroom(log_probabilities: Float[Tensor, "rows classes"]) -> Float[Tensor, " rows"]:
    """Nats that each row has left before it collapses in its own dtype, as float32; ≤ 0 is collapse.

    ln(2/eps) less the gap between the largest logit and the logsumexp of the others. Source: arXiv 2501.04697.
    """
    log_p = log_probabilities.detach().float()
    largest, place = log_p.max(dim=1, keepdim=True)
    rest = log_p.scatter(1, place, -math.inf).logsumexp(dim=1)
    return logit_headroom(log_probabilities.dtype) - (largest[:, 0] - rest)


def margins(log_probabilities: Float[Tensor, "rows classes"]) -> Float[Tensor, " rows"]:
    """By how much the largest logit of each row leads the runner-up (log-probabilities differ as their logits do)."""
    best = log_probabilities.detach().float().topk(2, dim=1).values
    return best[:, 0] - best[:, 1]


def target_margins(
    log_probabilities: Float[Tensor, "rows classes"], targets: Int[Tensor, " rows"]
) -> Float[Tensor, " rows"]:
    """By how much the right class's logit leads the best other one; negative where a row is misclassified."""
    log_p = log_probabilities.detach().float()
    at = targets[:, None]
    return log_p.gather(1, at)[:, 0] - log_p.scatter(1, at, -math.inf).amax(dim=1)


def log_partition(logits: Float[Tensor, "rows classes"]) -> Float[Tensor, " rows"]:
    """log Z = logsumexp of each row, in float32: how far the logits as a whole have moved from 0.

    Source: Wortsman et al. 2024, arXiv 2309.14322, §3.2 (what the z-loss keeps near 0).
    """
    return logits.detach().float().logsumexp(dim=1)


def logit_headroom(dtype: torch.dtype, n_classes: int = 2) -> float:
    """The gap, in nats, at which a row collapses when every other class lies that far below the largest logit.

    ln(2 (n − 1)/eps): 5.5 for two classes in bfloat16, 7.6 in float16, 16.6 in float32, 36.7 in float64.

    Raises
    ------
    ValueError
        If the dtype is not one of these four, or ``n_classes`` is below 2.

    Source: arXiv 2501.04697; absorption begins at eps/2, where rounding to even gives 1.
    """
    _check_dtype(dtype)
    if n_classes < 2:
        raise ValueError(f"n_classes: got {n_classes}; a softmax needs at least 2")
    return math.log(2 * (n_classes - 1) / torch.finfo(dtype).eps)


@dataclass(frozen=True)
class SoftmaxCollapse:
    """Softmax Collapse of a batch.

    Attributes
    ----------
    collapsed : bool[batch], rows whose sum Σ exp(z − max z) is exactly 1
    rate : share of such rows
    zero_loss_rate : share of rows whose cross-entropy is exactly 0; None without targets
    headroom_nats : float[batch], ln(2/eps) less the gap between the largest logit and the rest; ≤ 0 is collapse
    dtype : the precision it is about
    """

    collapsed: Bool[Tensor, " batch"]
    rate: float
    zero_loss_rate: float | None
    headroom_nats: Float[Tensor, " batch"]
    dtype: torch.dtype

    def plot(self) -> go.Figure:
        """Histogram of the headroom, with the limit drawn at 0."""
        headroom = self.headroom_nats.cpu().numpy()
        trace = {"type": "histogram", "x": headroom[np.isfinite(headroom)], "nbinsx": 60}
        name = str(self.dtype).removeprefix("torch.")
        figure = plots.figure([trace], title="Headroom of the softmax", x=f"nats to collapse in {name}", y="rows")
        figure.add_vline(0, line={"color": plots.LIGHT["critical"], "dash": "dash"})
        return figure


@torch.no_grad()
def softmax_collapse(
    logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"] | None = None,
    dtype: torch.dtype | None = None,
) -> SoftmaxCollapse:
    """How much of a batch has lost its gradient to the rounding of the softmax.

    Sums are taken as torch takes them on the device at hand: rows at the very border may differ between kernels.

    Parameters
    ----------
    logits
        Before the softmax; ``-inf`` masks a class.
    targets
        Class indices, for the share of losses that are exactly 0. A row that is wrong can be collapsed and have a
        large loss.
    dtype
        The precision to judge; by default that of the logits. Another one is simulated.

    Raises
    ------
    ValueError
        If the shapes do not fit or there is no batch, or if the dtype is not a floating-point type of 16 to 64 bits.

    Source: arXiv 2501.04697.
    """
    dtype = logits.dtype if dtype is None else dtype
    _check_dtype(dtype)
    if logits.dim() != 2 or not len(logits) or logits.shape[1] < 2:
        raise ValueError(f"logits: got shape {tuple(logits.shape)}; pass (batch, classes) with two or more classes")
    if targets is not None and targets.shape != logits.shape[:1]:
        raise ValueError(f"targets: got shape {tuple(targets.shape)}; pass one class a row, ({len(logits)},)")
    z = logits.detach().to(dtype)
    largest, place = z.max(dim=1)
    total = (z - largest[:, None]).exp().sum(dim=1)
    lost = total == 1
    zero = None
    if targets is not None:
        right = z.gather(1, targets[:, None])[:, 0]
        zero = float((lost & (right == largest)).float().mean())
    wide = logits.detach().to(torch.float32 if logits.device.type == "mps" else torch.float64)
    rest = wide.scatter(1, place[:, None], -math.inf)
    gap = wide.amax(dim=1) - torch.logsumexp(rest, dim=1)
    headroom = logit_headroom(dtype) - gap
    return SoftmaxCollapse(lost, float(lost.float().mean()), zero, headroom, dtype)


@dataclass(frozen=True)
class CollapseHistory:
    """What a run has shown of Softmax Collapse so far: state of :func:`update_collapse`."""

    steps: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()
    zero_loss_rates: tuple[float, ...] = ()
    headrooms: tuple[float, ...] = ()

    @property
    def first_step(self) -> int | None:
        """The first step at which a row had collapsed; None if there was none."""
        return next((step for step, rate in zip(self.steps, self.rates, strict=True) if rate > 0), None)


def update_collapse(history: CollapseHistory, step: int, measured: SoftmaxCollapse) -> CollapseHistory:
    """The history with one more measurement of the training batch.

    Kept of the headroom is its median over rows: collapse of half the batch is what ends learning.

    Raises
    ------
    ValueError
        If ``step`` does not come after those of the history.
    """
    if history.steps and step <= history.steps[-1]:
        raise ValueError(f"step: got {step} after {history.steps[-1]}; steps must rise")
    zero = math.nan if measured.zero_loss_rate is None else measured.zero_loss_rate
    return replace(
        history,
        steps=(*history.steps, step),
        rates=(*history.rates, measured.rate),
        zero_loss_rates=(*history.zero_loss_rates, zero),
        headrooms=(*history.headrooms, float(measured.headroom_nats.median())),
    )


def predicted_collapse(history: CollapseHistory, last: int = 20) -> float | None:
    """The step at which the median headroom will reach 0, by a straight line through the newest measurements.

    Parameters
    ----------
    history
        From :func:`update_collapse`.
    last
        How many measurements the line goes through, at least 2.

    Returns
    -------
    float or None
        A step, in the past if the headroom is gone; None with fewer than two measurements or a headroom that does
        not fall.

    Raises
    ------
    ValueError
        If ``last`` is below 2.
    """
    if last < 2:
        raise ValueError(f"last: got {last}; a line needs at least 2 measurements")
    return _crossing(history.steps[-last:], history.headrooms[-last:])


def _crossing(steps: Sequence[int], headrooms: Sequence[float]) -> float | None:
    x, y = np.asarray(steps, dtype=float), np.asarray(headrooms, dtype=float)
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if len(x) < 2:
        return None
    slope, start = np.polyfit(x - x[0], y, 1)
    return float(x[0] - start / slope) if slope < 0 else None


def _check_dtype(dtype: Any) -> None:
    if dtype not in DTYPES:
        raise ValueError(f"dtype: got {dtype}; use one of {', '.join(map(str, DTYPES))}")
