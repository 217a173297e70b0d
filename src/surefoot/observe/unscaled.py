"""Whether gradients have a gradient scaler's factor in them at this moment."""

from __future__ import annotations

from typing import Any


def is_unscaled(scaler: Any) -> bool:
    """Whether ``scaler.unscale_`` was called for some optimiser since the last ``scaler.update``."""
    stages = [state.get("stage") for state in scaler._per_optimizer_states.values()]
    return any(getattr(stage, "name", "") == "UNSCALED" for stage in stages)
