"""Losses that keep their gradient: functions, and modules shaped like torch's own."""

from surefoot.losses.gradient_penalty import gradient_penalty
from surefoot.losses.probabilities import logits_of
from surefoot.losses.shapes import match_shapes
from surefoot.losses.stablemax import (
    StableMaxCrossEntropyLoss,
    log_stablemax,
    stablemax,
    stablemax_cross_entropy,
)
from surefoot.losses.term_balance import TermBalance
from surefoot.losses.z_loss import CrossEntropyWithZLoss, cross_entropy_with_z_loss, z_loss

__all__ = [
    "CrossEntropyWithZLoss",
    "StableMaxCrossEntropyLoss",
    "TermBalance",
    "cross_entropy_with_z_loss",
    "gradient_penalty",
    "log_stablemax",
    "logits_of",
    "match_shapes",
    "stablemax",
    "stablemax_cross_entropy",
    "z_loss",
]
