"""Softmax in floating point: when it stops carrying a gradient."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


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


def row_sum_error(probabilities: Float[Tensor, "rows classes"]) -> Tensor:
    """The largest |Σ_k p_k − 1| over rows, 0-d: tells whether rows are already probabilities."""
    return (probabilities.detach().float().sum(dim=-1) - 1).abs().amax()


def spread(logits: Float[Tensor, "rows classes"]) -> tuple[Tensor, Tensor]:
    """Largest absolute logit and root mean square of the logits, as 0-d float32 tensors."""
    logits = logits.detach().float()
    return logits.abs().amax(), torch.linalg.vector_norm(logits) / max(1, logits.numel()) ** 0.5
