"""``unit-targets``: a model whose targets are far from size one learns them in a unit of their own.

The layer that makes the predictions gives m + s · (what it computes), with m and s the targets' mean and deviation, and
the gradient of the error is divided by s² (by s where errors count by their size). So all of the model is trained as if
the targets had been standardised, while predictions, losses and what is printed keep the script's own unit.

A head of order one would have to grow a thousandfold to tell prices; meanwhile its error drowns every other term of the
loss, and half precision ends before it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.apply.cure import Cure, Desk, Patch, trains
from surefoot.apply.script_calls import by_the_script, caller
from surefoot.observe.discover import census
from surefoot.observe.hook import Hook
from surefoot.observe.loss_site import shape_source
from surefoot.observe.nodes import ACCUMULATE, WEIGHT_PLUMBING, Node

_POWERS = {"mse_loss": 2, "l1_loss": 1, "smooth_l1_loss": 1, "huber_loss": 1}
_LAYERS = nn.Linear | nn.modules.conv._ConvNd
_ENOUGH = 32  # targets that a deviation is taken from: it is known to an eighth then
_FITS = 0.5  # of the targets' variance: an error below is that of a head which has its unit already
_SQUARED = 0.99  # cosine between an error and its gradient, which is 1 where it is squared


@dataclass
class _Head:
    """A layer that makes predictions: what targets it has met, and the unit that it was given."""

    layer: nn.Module
    targets: list[Tensor] = field(default_factory=list)
    size: float = 1.0  # of the targets so far
    mean: float = 0.0
    scale: float | None = None  # None until it is known
    left_alone: bool = False


class _Unit(Hook):
    """A forward hook that gives outputs their unit; in a copy of the model (an average of its weights) as well."""

    __slots__ = ("_made", "_mean", "_scale")

    def __init__(self, mean: float, scale: float, made: Callable[[Tensor], None]) -> None:
        super().__init__(self._unit)
        self._mean, self._scale, self._made = mean, scale, made

    def _unit(self, layer: nn.Module, args: Any, output: Tensor) -> Tensor:
        # float32 at least, for half precision may end before the unit
        wide = output.float() if output.dtype in (torch.float16, torch.bfloat16) else output
        value = self._mean + self._scale * wide
        self._made(value)
        return value

    def __deepcopy__(self, memo: Any) -> _Unit:
        return _Unit(self._mean, self._scale, lambda _: None)


class UnitTargets(Cure):
    """Puts a forward hook on such layers, and scales what errors send back to them."""

    id = "unit-targets"

    def __init__(self, desk: Desk, factor: float) -> None:
        super().__init__(desk)
        self.factor = factor
        self._heads: dict[int, tuple[Tensor, _Head | None]] = {}  # by the id of a weight, which is kept beside
        self._outputs: dict[Node, _Head] = {}  # what heads have made in their unit since the last step
        self._hooks: list[Any] = []

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """Losses of regression, and differences that a script takes itself."""
        for name, power in _POWERS.items():
            yield F, name, functools.partial(self._loss, guard, power)
        yield Tensor, "__sub__", functools.partial(self._difference, guard)

    def _loss(self, guard: Callable[..., Any], power: int, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def loss(input: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
            value = original(input, target, *args, **kwargs)
            if torch.compiler.is_compiling() or not trains(input):
                return value
            scale = guard(self._scale, input, target)
            return value if scale is None else _lighter(value, scale**-power)

        return loss

    def _difference(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def subtract(left: Any, right: Any) -> Any:
            value = original(left, right)
            if isinstance(right, Tensor) and trains(value) and not torch.compiler.is_compiling():
                guard(self._residual, left, right, value, caller())
            return value

        return subtract

    def _residual(self, left: Tensor, right: Tensor, value: Tensor, frame: Any) -> None:
        if left.requires_grad == right.requires_grad or not by_the_script(frame):
            return
        predictions, targets = (left, right) if left.requires_grad else (right, left)
        scale = self._scale(predictions, targets)
        if scale is not None:
            error = value.detach()
            value.register_hook(lambda gradient: gradient / scale ** (2 if _goes_with(gradient, error) else 1))

    def _scale(self, predictions: Tensor, targets: Any) -> float | None:
        """The deviation of what a head is to predict, once it has its unit; None where this is no such error."""
        if not isinstance(targets, Tensor) or targets.requires_grad or not targets.is_floating_point():
            return None
        if targets.shape != predictions.shape:
            return None
        head = self._head(predictions)
        if head is None or head.left_alone:
            return None
        if head.scale is None:
            # these predictions were made without a unit: their steps may be shorter, and no longer
            return max(1.0, head.size) if self._measure(head, predictions, targets) else None
        self.act()
        return head.scale

    def _head(self, predictions: Tensor) -> _Head | None:
        """The layer whose output this is, whole and in whatever shape."""
        node = shape_source(predictions.grad_fn)
        if node is None or math.prod(int(n) for n in node._input_metadata[0].shape) != predictions.numel():
            return None
        if node in self._outputs:
            return self._outputs[node]
        weight = _weight_of(node)
        if weight is None:
            return None
        if id(weight) not in self._heads:
            owners = [m for m in census().modules for p in m.__dict__.get("_parameters", {}).values() if p is weight]
            # of a tied weight nobody knows what else it makes
            head = _Head(owners[0]) if len(owners) == 1 and isinstance(owners[0], _LAYERS) else None
            self._heads[id(weight)] = weight, head
        return self._heads[id(weight)][1]

    def _measure(self, head: _Head, predictions: Tensor, targets: Tensor) -> bool:
        """Whether the targets that a head has met are far from size one; once they are enough, it gets their unit. The
        steps until then are made as short, for a single long one may undo the start."""
        head.targets.append(targets.detach().double().flatten())
        every = torch.cat(head.targets)
        mean, deviation = float(every.mean()), float(every.std(correction=0))
        head.size = math.hypot(mean, deviation)
        error = float((predictions.detach().double() - targets.double()).square().mean())
        usual = 1 / self.factor < head.size < self.factor
        if not math.isfinite(head.size) or usual or error < _FITS * deviation**2:
            head.left_alone = True
        elif len(every) >= _ENOUGH and deviation > 0:
            head.mean, head.scale = mean, deviation
            head.targets.clear()
            if isinstance(head.layer.bias, Tensor):
                with torch.no_grad():
                    head.layer.bias.zero_()  # whatever it was set to is in the mean
            unit = _Unit(mean, deviation, functools.partial(self._made, head))
            self._hooks.append(head.layer.register_forward_hook(unit))
        return not head.left_alone

    def _made(self, head: _Head, output: Tensor) -> None:
        if output.grad_fn is not None:
            self._outputs[output.grad_fn] = head

    def before_step(self, optimizer: Optimizer) -> None:
        """What was made so far has been used."""
        self._outputs.clear()

    def at_close(self) -> None:
        """Take the hooks off; say so where there was nothing to change."""
        for hook in self._hooks:
            hook.remove()
        self._outputs.clear()
        if not self.acted:
            self.note("no layer's output was compared with targets far from size one; nothing was changed")

    def summary(self) -> str:
        """Which units."""
        units = [
            f"{h.mean:.3g} ± {h.scale:.3g}" for _, h in self._heads.values() if h is not None and h.scale is not None
        ]
        return f"gave heads the unit of their targets ({', '.join(units)})" if units else "gave no head a unit"


def _weight_of(layer: Node) -> Tensor | None:
    """The matrix, or kernel, that a node multiplies by; a bias may have been added by a node of its own."""
    leaves = [leaf for child, _ in layer.next_functions if (leaf := _leaf(child)) is not None]
    if layer.name() == "AddBackward0" and len(leaves) == 1:
        rest = next((child for child, _ in layer.next_functions if child is not None and _leaf(child) is None), None)
        product = shape_source(rest)
        return None if product is None or product.name() == "AddBackward0" else _weight_of(product)
    return next((leaf for leaf in leaves if leaf.dim() > 1), None)


def _leaf(node: Node) -> Tensor | None:
    """The leaf that a node hands on, in another shape or dtype at most."""
    while node is not None and node.name() in WEIGHT_PLUMBING:
        node = node.next_functions[0][0]
    return node.variable if node is not None and node.name() == ACCUMULATE else None


def _lighter(value: Tensor, weight: float) -> Tensor:
    """The same number, which sends back a share of the gradient."""
    light = value * weight
    return light + (value - light).detach()


def _goes_with(gradient: Tensor, error: Tensor) -> bool:
    """Whether a gradient is a multiple of the error, as that of its square is."""
    g, e = gradient.detach().double().flatten(), error.double().flatten()
    return bool((g @ e).abs() >= _SQUARED * g.norm() * e.norm())
