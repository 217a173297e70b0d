"""Losses that keep their gradient: functions, and modules shaped like torch's own."""

from surefoot.losses.stablemax import (
    StableMaxCrossEntropyLoss,
    log_stablemax,
    stablemax,
    stablemax_cross_entropy,
)
from surefoot.losses.z_loss import CrossEntropyWithZLoss, cross_entropy_with_z_loss, z_loss

__all__ = [
    "CrossEntropyWithZLoss",
    "StableMaxCrossEntropyLoss",
    "cross_entropy_with_z_loss",
    "log_stablemax",
    "stablemax",
    "stablemax_cross_entropy",
    "z_loss",
]
