"""A loss that is a visible sum: its terms, by the op at the root of each, and the expansion of hand-written ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import GradientEdge

from surefoot.observe.loss_site import LOSSES
from surefoot.observe.nodes import ACCUMULATE, Node, saved

MAX_TERMS = 6  # a longer sum is one over time or over samples, not over aims

_REDUCTIONS = frozenset(["MeanBackward0", "MeanBackward1", "SumBackward0", "SumBackward1"])
_SCALINGS = frozenset(["MulBackward0", "DivBackward0", "NegBackward0", "ToCopyBackward0"])
_RESHAPES = frozenset(["ViewBackward0", "SqueezeBackward0", "SqueezeBackward1", "UnsqueezeBackward0"])
# Adds a mean to other terms, or takes the smaller of two products, as PPO's surrogate does.
_JOINS = frozenset(["AddBackward0", "SubBackward0", "RsubBackward1", "MinimumBackward0", "MaximumBackward0"])


@dataclass(slots=True)
class Term:
    """One term of the loss, with the factor that the script gave it."""

    name: str
    edge: GradientEdge
    value: Tensor | None  # 0-d, weight included; None where it can't be told from what the graph saved
    weight: Tensor | None  # 0-d: what the script multiplies it by; None where that is no constant


def split(root: Tensor) -> list[Term]:
    """The terms of the sum that makes the loss, in the order in which they were computed; empty if it is none."""
    if root.grad_fn is None or root.numel() != 1:
        return []
    factor, top = _below_scalings(root.grad_fn)
    edges = _summands(top)
    if not 2 <= len(edges) <= MAX_TERMS:
        return []
    edges.sort(key=lambda edge: edge[0]._sequence_nr())
    terms: list[Term] = []
    taken: dict[str, int] = {}
    for node, number in edges:
        inner, base = _below_scalings(node)
        name, value = _describe(base)
        weight = None if inner is None or factor is None else torch.as_tensor(inner * factor)
        taken[name] = count = taken.get(name, 0) + 1
        value = None if value is None or weight is None else value * weight
        terms.append(Term(name if count == 1 else f"{name} {count}", GradientEdge(node, number), value, weight))
    return terms


def split_samples(root: Tensor) -> list[GradientEdge]:
    """The terms of a sum that is taken for each sample by itself, and averaged or added up over them; empty if none."""
    if root.grad_fn is None or root.numel() != 1:
        return []
    _, top = _below_scalings(root.grad_fn)
    inner = top.next_functions[0][0] if top.name() in _REDUCTIONS else None
    if inner is None:
        return []
    shape = inner._input_metadata[0].shape
    found, waiting = [], [(inner, 0)]
    while waiting:
        node, number = waiting.pop()
        if node.name() in ("AddBackward0", "SubBackward0"):
            children = [(child, at) for child, at in node.next_functions if child is not None]
            waiting += [(child, at) for child, at in children if child._input_metadata[at].shape == shape]
        else:
            found.append(GradientEdge(node, number))
    return found if 2 <= len(found) <= MAX_TERMS else []


def negated(root: Tensor) -> Node | None:
    """The node of torch's loss function that a loss is the negative (or a negative multiple) of; None if it is not."""
    if root.grad_fn is None or root.numel() != 1:
        return None
    factor, base = _below_scalings(root.grad_fn)
    return base if factor is not None and float(factor) < 0 and base.name() in LOSSES else None


def ones_like_edge(edge: GradientEdge, root: Tensor) -> Tensor:
    """What a backward that begins at an edge is to be given, for the gradient of what the edge carries."""
    about = edge.node._input_metadata[edge.output_nr]
    return torch.ones([int(size) for size in about.shape], dtype=about.dtype, device=root.device)


def times(weight: Tensor) -> Callable[[Sequence[Tensor | None]], tuple[Tensor | None, ...]]:
    """A pre-hook of a graph's node that multiplies what comes back to it."""
    return lambda gradients: tuple(None if g is None else g * weight.to(g) for g in gradients)


def _summands(node: Node) -> list[tuple[Node, int]]:
    """The edges of a tree of additions, down to what is added; also of ``torch.stack(terms).sum()``."""
    name = node.name()
    if name in _REDUCTIONS and len(node.next_functions) == 1:
        stack = node.next_functions[0][0]
        if stack is not None and stack.name() == "StackBackward0":
            return [(child, number) for child, number in stack.next_functions if child is not None]
    if name not in ("AddBackward0", "SubBackward0"):
        return []
    found: list[tuple[Node, int]] = []
    for child, number in node.next_functions:
        if child is None or not _is_scalar(child, number):
            continue
        deeper = _summands(child) if child.name() in ("AddBackward0", "SubBackward0") else []
        found += deeper or [(child, number)]
    return found


def _is_scalar(node: Node, number: int) -> bool:
    shape = node._input_metadata[number].shape
    return all(int(size) == 1 for size in shape)


def _below_scalings(node: Node) -> tuple[Tensor | float | None, Node]:
    """The factor that scalings multiply by (None if unknown), and the first node that is none."""
    factor: Tensor | float | None = 1.0
    for _ in range(6):
        name = node.name()
        children = [child for child, _ in node.next_functions if child is not None]
        if (name not in _SCALINGS and name not in _RESHAPES) or len(children) != 1:
            break
        if name in ("MulBackward0", "DivBackward0"):
            constant = saved(node, "other", "self") if name == "MulBackward0" else saved(node, "other")
            if constant is None or constant.numel() != 1 or factor is None:
                factor = None
            else:
                factor = factor * constant if name == "MulBackward0" else factor / constant
        elif name == "NegBackward0" and factor is not None:
            factor = -factor
        node = children[0]
    return factor, node


def _describe(node: Node) -> tuple[str, Tensor | None]:
    """What made a term, and its value without its weight."""
    name = node.name()
    if name in LOSSES:
        value = _loss_value(LOSSES[name], node)
        source = node.next_functions[0][0]
        if name == "NllLossBackward0" and source is not None and source.name() == "LogSoftmaxBackward0":
            return "cross_entropy", value
        return LOSSES[name], value
    inner = _reduced(node)
    if inner is None:
        return _plain(name), None
    if (
        inner.name() == "StackBackward0"
        and (first := inner.next_functions[0][0]) is not None
        and first.name() in LOSSES
    ):
        return LOSSES[first.name()], None  # a loop over time
    # errors may be added up over a row first, and averaged over rows then
    base = _reduced(inner)
    errors = _errors(inner if base is None else base)
    if errors is None:
        return f"{'mean' if name.startswith('Mean') else 'sum'}_{_plain(inner.name())}", None
    kind, numbers = errors
    value = numbers.sum()
    made = 1 if base is None else math.prod(int(size) for size in inner._input_metadata[0].shape)
    if name.startswith("Mean"):
        value = value / (numbers.numel() if base is None else made)
    if base is not None and inner.name().startswith("Mean"):
        value = value * made / numbers.numel()
    return kind, value


def _reduced(node: Node) -> Node | None:
    """The node of what a mean or a sum is taken of."""
    return node.next_functions[0][0] if node.name() in _REDUCTIONS else None


def _errors(node: Node) -> tuple[str, Tensor] | None:
    """Squares or sizes of numbers, as hand-written distances are made of; those of parameters are a penalty."""
    kind = node.name()
    if any(child is not None and child.name() == ACCUMULATE for child, _ in node.next_functions):
        return None
    if kind == "PowBackward0" and getattr(node, "_saved_exponent", None) == 2:
        residual = saved(node, "self")
        return None if residual is None else ("squared_error", residual.square())
    if kind == "MulBackward0":
        left, right = saved(node, "self"), saved(node, "other")
        if left is not None and right is not None and left.data_ptr() == right.data_ptr():
            return "squared_error", left * right
    if kind == "AbsBackward0":
        residual = saved(node, "self")
        return None if residual is None else ("absolute_error", residual.abs())
    return None


class OwnErrors(NamedTuple):
    """Squares or sizes that a script takes the mean or sum of: which (``"squared_error"``, ``"absolute_error"``), the
    numbers, the node that made them, and the mean or sum, times the weight that it has in the loss."""

    kind: str
    numbers: Tensor
    node: Node
    value: Tensor


def own_errors(root: Tensor) -> list[OwnErrors]:
    """The hand-written mean or sum of squares or sizes that a loss is, or those that are terms of it."""
    if root.grad_fn is None or root.numel() != 1:
        return []
    terms = split(root)
    parts = [(term.edge.node, term.value) for term in terms] if terms else [(root.grad_fn, root)]
    return [errors for node, value in parts if value is not None and (errors := _own(node, value)) is not None]


def hand_written_rows(root: Tensor) -> Tensor | None:
    """The error of each row (dimension 0) where the loss is such a mean or sum and nothing else."""
    found = _own(root.grad_fn, root) if root.grad_fn is not None and root.numel() == 1 else None
    if found is None or found.numbers.dim() == 0:
        return None
    return found.numbers.reshape(len(found.numbers), -1).mean(dim=1)


def _own(node: Node, value: Tensor) -> OwnErrors | None:
    """The numbers behind a node that has made ``value`` as their mean or sum."""
    inner = _reduced(_below_scalings(node)[1])
    if inner is None:
        return None
    made_by = _reduced(inner) or inner
    errors = _errors(made_by)
    return None if errors is None else OwnErrors(errors[0], errors[1].detach(), made_by, value.detach())


def _loss_value(name: str, node: Node) -> Tensor | None:
    inputs, targets = saved(node, "self"), saved(node, "target")
    reduction = {1: "mean", 2: "sum"}.get(getattr(node, "_saved_reduction", 0))
    if inputs is None or targets is None or reduction is None:
        return None
    if name == "mse_loss":
        return F.mse_loss(inputs, targets, reduction=reduction)
    if name == "smooth_l1_loss":
        return F.smooth_l1_loss(inputs, targets, reduction=reduction, beta=node._saved_beta)
    if name == "huber_loss":
        return F.huber_loss(inputs, targets, reduction=reduction, delta=node._saved_delta)
    if name == "binary_cross_entropy_with_logits" and saved(node, "weight", "pos_weight") is None:
        return F.binary_cross_entropy_with_logits(inputs, targets, reduction=reduction)
    if name == "binary_cross_entropy" and saved(node, "weight") is None:
        return F.binary_cross_entropy(inputs, targets, reduction=reduction)
    if name == "nll_loss" and saved(node, "weight") is None:
        ignore = node._saved_ignore_index
        ignore = ignore - (1 << 64) if ignore >= 1 << 63 else ignore
        return F.nll_loss(inputs, targets, ignore_index=ignore, reduction=reduction)
    return None


def _plain(name: str) -> str:
    """``"ExpBackward0"`` as ``"exp"``."""
    return name.split("::")[-1].partition("Backward")[0].lower()


def hand_written_expansion(root: Tensor) -> float:
    """How many times more pairs a hand-written loss takes than it has predictions; 1 is right.

    Seen are two mistakes that are certain: ``(n, 1)`` predictions minus (or plus: of an equation's two sides) ``(n,)``
    targets make ``(n, n)`` differences;
    and a mean over the ``(n, n)`` products of ``(n,)`` with ``(n, 1)`` numbers (log-probabilities and advantages, say)
    is the product of two means, in which no number belongs to another.
    """
    frontier = [(root.grad_fn, True)] if root.grad_fn is not None else []  # and whether only averages came after it
    for _ in range(8):
        below: list[tuple[Node, bool]] = []
        for node, averaged in frontier:
            name = node.name()
            if name in ("SubBackward0", "AddBackward0") or (name == "MulBackward0" and averaged):
                rows = _outer_rows(node)
                if rows > 1:
                    return float(rows)
            averaged = averaged and _only_averages(node)
            below += [(child, averaged) for child, _ in node.next_functions if child is not None]
        frontier = below[:16]
    return 1.0


def _only_averages(node: Node) -> bool:
    """It averages, adds, or multiplies all alike."""
    name = node.name()
    if name in ("MulBackward0", "DivBackward0"):
        factor = saved(node, "other", "self")
        return factor is None or factor.numel() == 1
    return name in _REDUCTIONS or name in _SCALINGS or name in _JOINS


def _outer_rows(node: Node) -> int:
    """n if ``node`` combines something without a gradient with ``(n, 1)`` (or the other way) and gets ``(n, n)``;
    where that was made of ``(n,)`` by ``[:, None]``, all pairs are meant, and a parameter is no prediction: an offset
    of n features beside n rows is for all of them."""
    shape = [int(size) for size in node._input_metadata[0].shape]
    children = [(child, number) for child, number in node.next_functions if child is not None]
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 2 or len(children) != 1:
        return 1
    child, number = children[0]
    if child.name() == "ExpandBackward0" and child.next_functions[0][0] is not None:
        child, number = child.next_functions[0]
    if child.name() in ("UnsqueezeBackward0", ACCUMULATE):
        return 1
    source = [int(size) for size in child._input_metadata[number].shape]
    return shape[0] if source in ([shape[0], 1], [shape[0]]) else 1
