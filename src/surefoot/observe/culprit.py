"""The first culprit of a loss that is not finite, sought in the graph while the weights are still intact."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from surefoot.observe.discover import Models
from surefoot.observe.graph import GraphView
from surefoot.observe.nodes import ACCUMULATE, Node, has_memory, saved

_LOGARITHMS = ("LogBackward0", "Log2Backward0", "Log10Backward0")  # they save what came in, not what comes out
_OWN_OUTPUT = ("_saved_result", "_saved_output", "_saved_result1")


@dataclass(frozen=True, slots=True)
class Culprit:
    """Where a non-finite number came from: ``kind`` is weight, input, activation or loss."""

    kind: str
    where: str
    operation: str
    value: str  # nan, inf, -inf
    dtype: str = ""  # of the tensor that holds it, where it was kept


def what_is(tensor: Tensor) -> str | None:
    """``"nan"``, ``"inf"`` or ``"-inf"`` if the tensor holds such a value, in this order; else None."""
    if not (tensor.is_floating_point() or tensor.is_complex()) or tensor.numel() == 0 or not has_memory(tensor):
        return None
    # a sum is finite only if every term is (or the terms themselves overflow it, which the exact test then tells)
    if torch.isfinite(tensor.sum(dtype=torch.float64 if tensor.is_floating_point() else None)):
        return None
    if torch.isnan(tensor).any():
        return "nan"
    if torch.isinf(tensor).any():
        return "inf" if (tensor == torch.inf).any() else "-inf"
    return None


def find_culprit(view: GraphView, models: Models, loss_value: str, read_saved: bool) -> Culprit:
    """Look for the earliest op of the forward that made a non-finite number.

    Weights are looked at first; then, in order of execution, what the ops saved. An op whose saved input is the first
    bad tensor did not make it: what computed that input did, or the data hold it. Where nothing was saved the loss
    itself is named, with no module.
    """
    for leaf in view.leaves:
        value = what_is(leaf.detach())
        if value is not None:
            owned = models.find(leaf)
            return Culprit("weight", owned.layer.name if owned else "", "", value)
    if read_saved:
        layer_of = _layers(view, models)
        for node in view.nodes:
            found = _first_bad(node)
            if found is None:
                value = _of_no_logarithm(node)
                if value is not None:
                    return Culprit("activation", layer_of.get(node, ""), _operation(node), value)
                continue
            name, value, dtype = found
            if name in _OWN_OUTPUT:
                return Culprit("activation", layer_of.get(node, ""), _operation(node), value, dtype)
            source = _source(node, name)
            if source is None:
                return Culprit("input", layer_of.get(node, ""), _operation(node), value, dtype)
            return Culprit("activation", layer_of.get(source, ""), _operation(source), value, dtype)
    return Culprit("loss", "", "", loss_value)


def _first_bad(node: Node) -> tuple[str, str, str] | None:
    for name in dir(node):
        if name.startswith("_saved_"):
            try:
                tensor = getattr(node, name)
            except (AttributeError, RuntimeError):
                continue
            if isinstance(tensor, Tensor):
                value = what_is(tensor.detach())
                if value is not None:
                    return name, value, str(tensor.dtype).removeprefix("torch.")
    return None


def _of_no_logarithm(node: Node) -> str | None:
    """What a logarithm gives of a finite number that has none."""
    if node.name() not in _LOGARITHMS or (x := saved(node, "self")) is None or x.is_complex():
        return None
    return "nan" if bool((x < 0).any()) else "-inf" if bool((x == 0).any()) else None


def _layers(view: GraphView, models: Models) -> dict[Node, str]:
    """For each node of the forward, the layer that it belongs to or follows."""
    layer_of: dict[Node, str] = {}
    for node in view.nodes:
        above = [child for child, _ in node.next_functions if child is not None]
        own = [child.variable for child in above if child.name() == ACCUMULATE]
        owned = next((o for o in map(models.find, own) if o is not None), None)
        if owned is not None:
            layer_of[node] = owned.layer.name
        else:
            known = [child for child in above if child in layer_of]
            if known:
                layer_of[node] = layer_of[max(known, key=lambda n: n._sequence_nr())]
    return layer_of


def _source(node: Node, name: str) -> Node | None:
    """The op of the forward that made the saved input ``name`` of a node; None where no op did: it is data."""
    inputs = [child for child, _ in node.next_functions]
    place = 1 if name in ("_saved_other", "_saved_mat2", "_saved_weight", "_saved_vec2") else 0
    ops = [child if child is not None and _computes(child) else None for child in inputs]
    if len(inputs) == 2:
        return ops[place]
    return max((op for op in ops if op is not None), key=lambda op: op._sequence_nr(), default=None)


def _computes(node: Node) -> bool:
    """Whether a node is an op of the forward, not a weight or the plumbing that brings one."""
    if node.name() == ACCUMULATE:
        return False
    below = [c for c, _ in node.next_functions if c is not None]
    return not (len(below) == 1 and below[0].name() == ACCUMULATE and node.name() in ("TBackward0", "ToCopyBackward0"))


def _operation(node: Node) -> str:
    return node.name().removesuffix("0").removesuffix("1").removesuffix("Backward").lower()
