"""Where data enter the graph: the ops that use a parameter together with something that depends on none."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from surefoot.observe.graph import GraphView
from surefoot.observe.nodes import ACCUMULATE, Node, saved

MAX_SITES = 8
MAX_NODES = 2000  # of a larger graph the beginning of the forward is searched

# Op → name of the saved input, its place and the weight's among the next functions, and the inputs' feature dimension.
_LAYERS = {
    "AddmmBackward0": ("mat1", 1, 2, -1),
    "MmBackward0": ("self", 0, 1, -1),
    "ConvolutionBackward0": ("input", 0, 1, 1),
    "MkldnnRnnLayerBackward0": ("input", 0, 1, -1),
    "CudnnRnnBackward0": ("input", 0, 1, -1),
    "NativeBatchNormBackward0": ("input", 0, 1, 1),
    "CudnnBatchNormBackward0": ("input", 0, 1, 1),
    "NativeLayerNormBackward0": ("input", 0, 1, -1),
    "NativeGroupNormBackward0": ("input", 0, 1, 1),
    "EmbeddingBackward0": ("indices", -1, 0, -1),
}
_NORMS = ("BatchNorm", "LayerNorm", "GroupNorm", "RmsNorm", "RMSNorm")
_PLUMBING = frozenset(
    [
        "CatBackward0",
        "StackBackward0",
        "ViewBackward0",
        "ReshapeAliasBackward0",
        "UnsafeViewBackward0",
        "UnsqueezeBackward0",
        "SqueezeBackward0",
        "SqueezeBackward1",
        "TransposeBackward0",
        "PermuteBackward0",
        "TBackward0",
        "ToCopyBackward0",
        "CloneBackward0",
        "SliceBackward0",
        "SelectBackward0",
    ]
)


@dataclass(slots=True)
class DataSite:
    """One layer that data enter.

    ``weight`` is its first parameter, ``data`` what enters it, ``normalises``: it is a normalisation layer, or nothing
    but one uses what it gives (no residual connection, say), so that the scale of the data is taken out again;
    ``features_first``: the weight is multiplied as it is, by hand, where a ``nn.Linear`` turns its own.
    """

    weight: Tensor
    data: Tensor
    feature_dim: int
    normalises: bool
    features_first: bool = False


def find_data(view: GraphView) -> list[DataSite]:
    """The sites of a graph in the order in which the forward came to them, at most :data:`MAX_SITES`."""
    sites: list[DataSite] = []
    given: dict[Node, DataSite] = {}  # what a site gives, and its reshapes
    elsewhere: set[int] = set()  # ids of weights of layers whose output something else than a normalisation uses
    seen: set[int] = set()
    for node in view.nodes[:MAX_NODES]:
        name = node.name()
        norm = any(word in name for word in _NORMS)
        for child, _ in node.next_functions if given else ():
            site = given.get(child)
            if site is None:
                continue
            if name in _PLUMBING:
                given[node] = site
            elif norm:
                site.normalises = True
            else:
                elsewhere.add(id(site.weight))
        layer = _LAYERS.get(name)
        if layer is None or len(sites) >= MAX_SITES:
            continue
        attribute, at, weight_at, dim = layer
        below = node.next_functions
        weight = _parameter(view, below[weight_at][0]) if weight_at < len(below) else None
        if weight is None or id(weight) in seen or (at >= 0 and not _from_data(view, below[at][0])):
            continue
        data = saved(node, attribute)
        if data is None or data.layout is not torch.strided or not data.numel() or not data.dim():
            continue  # a sparse matrix (a graph's adjacency) has no rows to take statistics of
        seen.add(id(weight))
        by_hand = name in ("AddmmBackward0", "MmBackward0") and not _turned(below[weight_at][0])
        site = DataSite(weight, data, dim if data.dim() > dim else -1, norm, by_hand)
        sites.append(site)
        if not norm:
            given[node] = site
    for site in given.values():
        site.normalises = site.normalises and id(site.weight) not in elsewhere
    return sites


def find_mixed(view: GraphView) -> list[tuple[Tensor, Tensor]]:
    """Weights of layers that data enter side by side with what a layer has made (features beside an embedding), and
    what enters them."""
    found: list[tuple[Tensor, Tensor]] = []
    for node in view.nodes[:MAX_NODES]:
        if node.name() not in ("AddmmBackward0", "MmBackward0"):
            continue
        attribute, at, weight_at, _ = _LAYERS[node.name()]
        joined, weight = node.next_functions[at][0], _parameter(view, node.next_functions[weight_at][0])
        if weight is None or joined is None or joined.name() != "CatBackward0":
            continue
        parts = [_from_data(view, part) for part, _ in joined.next_functions]
        data = saved(node, attribute) if any(parts) and not all(parts) else None
        if data is not None and data.layout is torch.strided and data.numel():
            found.append((weight, data))
    return found[:MAX_SITES]


def find_multiplied(view: GraphView) -> list[tuple[Tensor, int]]:
    """Matrices that are trained and multiplied with what comes in, and each one's fan-in; in the order of use."""
    found: dict[int, tuple[Tensor, int]] = {}
    for node in view.nodes[:MAX_NODES]:
        if node.name() not in ("AddmmBackward0", "MmBackward0"):
            continue
        *_, left, right = (following for following, _ in node.next_functions)
        for side, features in ((left, 1), (right, 0)):
            weight = _parameter(view, side)
            if weight is not None and weight.dim() == 2:
                found.setdefault(id(weight), (weight, weight.shape[features ^ _turned(side)]))
    return list(found.values())


def _parameter(view: GraphView, node: Node | None) -> Tensor | None:
    for _ in range(4):
        if node is None:
            return None
        if node.name() == ACCUMULATE:
            return node.variable if view.trains(node.variable) else None
        if node.name() not in _PLUMBING or len(node.next_functions) != 1:
            return None
        node = node.next_functions[0][0]
    return None


def _turned(node: Node | None) -> bool:
    """Whether a parameter is transposed on its way to ``node``."""
    while node is not None and node.name() != ACCUMULATE:
        if node.name() in ("TBackward0", "TransposeBackward0", "PermuteBackward0"):
            return True
        node = node.next_functions[0][0]
    return False


def _from_data(view: GraphView, node: Node | None, depth: int = 4) -> bool:
    """No parameter is behind ``node``: data, or coordinates that are differentiated by (a PINN's)."""
    if node is None:
        return True
    if node.name() == ACCUMULATE:
        return not view.trains(node.variable)
    if depth == 0 or node.name() not in _PLUMBING:
        return False
    return all(_from_data(view, child, depth - 1) for child, _ in node.next_functions)
