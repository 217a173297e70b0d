"""How near the arguments of arccos, arcsin and artanh come to ±1, where nothing keeps them off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from surefoot.analysis.edges import roundings_to_one
from surefoot.observe.graph import GraphView
from surefoot.observe.instrument import Instrument
from surefoot.observe.nodes import Node, saved

_AT_ONE = {"AcosBackward0": "acos", "AsinBackward0": "asin", "AtanhBackward0": "atanh"}
_BOUNDS = ("_saved_min", "_saved_max", "_saved_min_val", "_saved_max_val")


class Edges(Instrument):
    """Reads ``edge_roundings`` of the graph, a place for each function."""

    name: ClassVar[str] = "edges of domains"

    def at_backward(self, view: GraphView, roots: Sequence[Tensor]) -> None:
        """The arguments are still there: the functions saved them."""
        found: dict[str, Tensor] = {}
        for node in view.nodes:
            function = _AT_ONE.get(node.name())
            x = saved(node, "self") if function is not None else None
            if function is None or x is None or not x.is_floating_point() or not x.numel():
                continue
            below, above = _kept_off(node, x.dtype)
            if below and above:
                continue
            near = roundings_to_one(x.clamp(max=0) if above else x.clamp(min=0) if below else x)
            found[function] = torch.minimum(found[function], near) if function in found else near
        if not found:
            return
        step = self.tools.step

        def write(values: list[np.ndarray]) -> None:
            for function, value in zip(found, values, strict=True):
                self.tools.rows.put(step, "edges", function, edge_roundings=float(value))

        self.tools.ask(step, list(found.values()), write)


def _kept_off(node: Node, dtype: torch.dtype) -> tuple[bool, bool]:
    """Whether the argument was clamped to what is above −1, and below 1: by one clamp, or by one after the other. (A
    bound of 1 − 10⁻⁹ is 1 in float32.)"""
    most = 1 - torch.finfo(dtype).eps / 2
    bounds: list[float] = []
    while node is not None and node.next_functions:
        node = node.next_functions[0][0]
        if node is None or not node.name().startswith(("Clamp", "Hardtanh")):
            break
        for name in _BOUNDS:
            bound = getattr(node, name, None)
            if isinstance(bound, int | float):
                bounds.append(float(bound))
            elif isinstance(bound, Tensor) and bound.numel() == 1:
                bounds.append(bound.item())
    return any(-most <= bound <= 0 for bound in bounds), any(0 < bound <= most for bound in bounds)
