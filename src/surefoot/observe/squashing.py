"""Softmax and sigmoid in an autograd graph: which of them made the numbers that an op reads, and which are read twice.

Numbers stay probabilities where they are kept off 0 (``clamp``, ``+ eps``), averaged over several (``stack(…).mean``)
or reshaped, and a logarithm of a softmax is a log-softmax, of which the exponential is a softmax again.
"""

from __future__ import annotations

from surefoot.observe.nodes import Node

# Ops that do not change numbers.
SHAPE_ONLY = frozenset(
    [
        "ViewBackward0",
        "ReshapeAliasBackward0",
        "UnsafeViewBackward0",
        "SqueezeBackward0",
        "SqueezeBackward1",
        "UnsqueezeBackward0",
        "TransposeBackward0",
        "PermuteBackward0",
        "TBackward0",
        "ToCopyBackward0",
        "SliceBackward0",
        "SelectBackward0",
        "IndexBackward0",
        "CloneBackward0",
        "AliasBackward0",
        "FlattenBackward0",
        "ExpandBackward0",
    ]
)
NONE, SOFTMAX, LOG_SOFTMAX, SIGMOID, SOFTMAX_TWICE, SIGMOID_TWICE = range(6)
_KINDS = {"SoftmaxBackward0": SOFTMAX, "LogSoftmaxBackward0": LOG_SOFTMAX, "SigmoidBackward0": SIGMOID}
_KEEPS = frozenset(["ClampBackward0", "ClampBackward1", "ClampMinBackward0", "ClampMaxBackward0", "AddBackward0"])
_AVERAGES = frozenset(["MeanBackward1", "StackBackward0"])
_TWICE = {SOFTMAX: SOFTMAX_TWICE, SIGMOID: SIGMOID_TWICE}
# What takes a logarithm of its own squashing: the name of the function that builds it.
_OWN = {"LogSigmoidBackward0": "logsigmoid", "SoftplusBackward0": "softplus"}
_DEEP = 8  # ops that are looked through

Names = dict[Node, str]
Children = dict[Node, list[Node]]


def squashed(node: Node | None, names: Names, children: Children, deep: int = _DEEP) -> int:
    """What made the numbers of a node: one of the codes above."""
    if node is None or not deep:
        return NONE
    name, below = names.get(node, ""), children.get(node, [])
    inner = below[0] if below else None
    if name in _KINDS:
        kind = _KINDS[name]
        again = squashed(inner, names, children, deep - 1) if kind in _TWICE else NONE
        return _TWICE[kind] if again in (SOFTMAX, SIGMOID, SOFTMAX_TWICE, SIGMOID_TWICE) else kind
    if name in SHAPE_ONLY or (name in _KEEPS and len(below) == 1):
        return squashed(inner, names, children, deep - 1)
    if name == "LogBackward0":
        kind = squashed(inner, names, children, deep - 1)
        return {SOFTMAX: LOG_SOFTMAX, SOFTMAX_TWICE: SOFTMAX_TWICE}.get(kind, NONE)
    if name == "ExpBackward0":
        return SOFTMAX if squashed(inner, names, children, deep - 1) == LOG_SOFTMAX else NONE
    if name == "DivBackward0":
        return SOFTMAX if _by_their_sum(below, names, children) else NONE
    if name in _AVERAGES:
        kinds = {squashed(child, names, children, deep - 1) for child in below}
        return kinds.pop() if len(kinds) == 1 else NONE
    return NONE


def _by_their_sum(below: list[Node], names: Names, children: Children) -> bool:
    """Exponentials over the sum of the same ones: a softmax that is written by hand."""
    if len(below) != 2 or names.get(below[0]) != "ExpBackward0" or names.get(below[1]) != "SumBackward1":
        return False
    summed = next(iter(children.get(below[1], [])), None)
    same = summed is below[0] or (summed is not None and children.get(summed) == children.get(below[0]))
    return summed is not None and names.get(summed) == "ExpBackward0" and same


def twice(nodes: list[Node], names: Names, children: Children) -> tuple[str, Node, int] | None:
    """The last op that squashes by itself what is a softmax or a sigmoid already (log σ, softplus, x − log Σ exp x),
    where no loss function of torch's does: its name, its node, and the code of what it reads."""
    for node in reversed(nodes):
        name = names[node]
        if name in _OWN:
            below = children.get(node, [])
            source = below[0] if below else None
            while source is not None and (names.get(source) in SHAPE_ONLY or names.get(source) == "NegBackward0"):
                source = next(iter(children.get(source, [])), None)
            kind = _KINDS.get(names.get(source, ""), NONE)
        elif name == "SubBackward0":
            kind = _normalised(children.get(node, []), names, children)
        else:
            continue
        if kind in (SOFTMAX, SIGMOID):
            return _OWN.get(name, "logsumexp"), node, kind
    return None


def _normalised(below: list[Node], names: Names, children: Children) -> int:
    """Of x − log Σ exp x, what made x."""
    if len(below) != 2 or names.get(below[1]) != "LogsumexpBackward0":
        return NONE
    inner = children.get(below[1], [])
    return _KINDS.get(names.get(below[0], ""), NONE) if inner[:1] == below[:1] else NONE
