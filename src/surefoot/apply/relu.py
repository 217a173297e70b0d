"""``relu``: ReLUs in the place of sigmoids between layers, and weights that are drawn for them.

A run of the model on the script's own first inputs shows which calls of a sigmoid feed another layer: those are hidden
units. A gate (its output multiplies something) and what makes the outputs stay sigmoids.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surefoot.apply.cure import Desk, Patch
from surefoot.apply.script_calls import caller
from surefoot.apply.start import Start
from surefoot.init.critical import critical_
from surefoot.observe.graph import read_graph
from surefoot.observe.nodes import Node
from surefoot.observe.replay import Forward

Place = int | tuple[str, int]  # a module; or file and line
_LAYERS = ("AddmmBackward0", "MmBackward0", "BmmBackward0", "ConvolutionBackward0", "MkldnnConvolutionBackward0")
_SHAPES = (
    "ViewBackward0", "UnsafeViewBackward0", "ReshapeAliasBackward0", "TBackward0", "TransposeBackward0", "CatBackward0",
    "PermuteBackward0", "ExpandBackward0", "CloneBackward0", "NativeDropoutBackward0", "MaxPool2DWithIndicesBackward0",
    "AvgPool2DBackward0", "MeanBackward1", "UnsqueezeBackward0", "SqueezeBackward1", "ToCopyBackward0",
    "NativeBatchNormBackward0", "NativeLayerNormBackward0",
)  # fmt: skip

_SCALES = ("MulBackward0", "DivBackward0", "AddBackward0", "SubBackward0")


class ReLU(Start):
    """Puts ``relu`` where a sigmoid is called, as function, as method and in ``nn.Sigmoid``; in evaluation too."""

    id = "relu"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._hidden: set[Place] = set()
        self._made: dict[Node, Place] | None = None  # while a model is tried: by which place a node was made

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """All that a sigmoid is called by."""
        for home, name in ((F, "sigmoid"), (torch, "sigmoid"), (Tensor, "sigmoid")):
            yield home, name, functools.partial(self._function, guard)
        yield nn.Sigmoid, "forward", functools.partial(self._module, guard)

    def _function(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def sigmoid(input: Any, *args: Any, **kwargs: Any) -> Any:
            if (self._hidden or self._made is not None) and not torch.compiler.is_compiling():
                given = guard(self._called, input, _place(caller()), original)
                if given is not None:
                    return given
            return original(input, *args, **kwargs)

        return sigmoid

    def _module(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def forward(module: nn.Sigmoid, input: Any) -> Any:
            if (self._hidden or self._made is not None) and not torch.compiler.is_compiling():
                given = guard(self._called, input, id(module), torch.sigmoid)
                if given is not None:
                    return given
            return original(module, input)

        return forward

    def _called(self, x: Any, place: Place, sigmoid: Callable[[Tensor], Tensor]) -> Tensor | None:
        if not isinstance(x, Tensor):
            return None
        if place in self._hidden:
            return F.relu(x)
        if self._made is None:
            return None
        value = sigmoid(x)
        if value.grad_fn is not None:
            self._made[value.grad_fn] = place
        return value

    def start(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Find the hidden ones, and draw the weights."""
        self._made = {}
        try:
            with torch.enable_grad():
                outputs = [t for t in Forward(model, args, kwargs).again() if t.grad_fn is not None]
                fed = _feeding(read_graph(outputs).nodes)
            made = self._made
        finally:
            self._made = None
        hidden = {place for node, place in made.items() if node in fed}
        if not hidden:
            raise ValueError("no sigmoid of it feeds another layer")
        self._hidden |= hidden
        critical_(model, "relu")
        return f"put ReLUs in the place of sigmoids at {len(hidden):,} places of {type(model).__name__}"


def _feeding(nodes: list[Node]) -> set[Node]:
    """Sigmoids whose output enters a layer, as it is or in another shape, and is not multiplied by anything."""
    used: dict[Node, list[Node]] = {}
    for node in nodes:
        for child, _ in node.next_functions:
            if child is not None:
                used.setdefault(child, []).append(node)
    found = set()
    for node in nodes:
        if node.name() != "SigmoidBackward0":
            continue
        waiting, ends = [node], set()
        while waiting:
            for user in used.get(waiting.pop(), []):
                alone = sum(child is not None for child, _ in user.next_functions) == 1
                if user.name() in _SHAPES or (alone and user.name() in _SCALES):  # by a number, as in a dropout
                    waiting.append(user)
                else:
                    ends.add(user.name())
        if ends & set(_LAYERS) and not any(name.startswith("Mul") for name in ends):
            found.add(node)
    return found


def _place(frame: FrameType) -> Place:
    """Where a function is called."""
    return frame.f_code.co_filename, frame.f_lineno
