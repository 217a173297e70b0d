"""Activations that are written as bounds: ``clamp``, ``hardtanh`` and ``relu6`` keep what went in, and between what."""

from __future__ import annotations

from torch import Tensor

from surefoot.observe.nodes import Node, saved

_BOUNDS = {
    "ClampBackward1": ("_saved_min", "_saved_max"),
    "ClampMinBackward0": ("_saved_min", ""),
    "HardtanhBackward0": ("_saved_min_val", "_saved_max_val"),
}


def clamp_kind(node: Node, name: str) -> str | None:
    """Which activation a node of this name is by its bounds; None where it is none."""
    low, high = _bounds(node, name) or (None, None)
    if low is None:
        return None
    if high is None:
        return "relu" if low == 0 else None
    return None if not low < high else "relu6" if low == 0 else "hardtanh"


def activated(node: Node, kind: str) -> Tensor | None:
    """What an activation gave; of a clamp between two bounds, brought to where a ``hardtanh`` has them."""
    result = saved(node, "result")
    bounds = _bounds(node, node.name()) if result is None else None
    given = saved(node, "self") if bounds is not None else None
    if bounds is None or given is None:
        return result
    low, high = bounds
    if kind != "hardtanh" or low is None or high is None:
        return given.clamp(low, high)
    return ((2 * given - (low + high)) / (high - low)).clamp(-1, 1)


def _bounds(node: Node, name: str) -> tuple[float | None, float | None] | None:
    if name not in _BOUNDS:
        return None
    low, high = (getattr(node, attribute, None) for attribute in _BOUNDS[name])
    return low, high
