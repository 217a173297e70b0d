"""Training without an optimiser: what stands for one, and how its steps are seen.

``p -= lr * p.grad``, ``params = [p - lr * g for p, g in zip(params, grads)]``: the tensors whose gradient was asked for
have changed, or others are in their place, when the next gradient is asked for. That is a step.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

_SAMPLE = 64  # elements of a tensor that are compared
_FEWEST = 4  # of fewer, any update may go along the gradient
_STRAIGHT = 1e-3  # of an update: what may be left of it beside its part along the gradient


class ByHand(Optimizer):
    """Stands for the updates of a script that has no optimiser: it holds the parameters and is never stepped.

    What it does is not known. A learning rate it has after a step that was plain descent.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        super().__init__(parameters, {})


@dataclass(slots=True)
class Mark:
    """A tensor as it was when its gradient was complete; a few numbers of it, for ``p.data`` changes no version."""

    ref: weakref.ref[Tensor]
    shape: torch.Size
    version: int
    numbers: Tensor | None
    gradient: Tensor | None  # of the same elements

    @classmethod
    def of(cls, tensor: Tensor, gradient: Tensor | None) -> Mark:
        """Of a tensor as it is now."""
        known = gradient is not None and gradient.shape == tensor.shape
        steepest = sample(gradient) if known else None  # type: ignore[arg-type]
        return cls(weakref.ref(tensor), tensor.shape, tensor._version, sample(tensor), steepest)

    def changed(self, now: Tensor) -> bool:
        """Whether ``now``, which is in its place, is another tensor or has other numbers."""
        if self.ref() is not now or now._version != self.version:
            return True
        return self.numbers is not None and not same_numbers(sample(now), self.numbers)

    @property
    def still(self) -> bool:
        """Whether descent would leave it where it is."""
        return self.gradient is not None and not bool(self.gradient.any())

    def add(self, gradient: Tensor | None) -> None:
        """Another part of its gradient has come."""
        more = None if gradient is None else sample(gradient)
        self.gradient = None if self.gradient is None or more is None else self.gradient + more

    def rate(self, now: Tensor, before: float = math.nan) -> float:
        """The learning rate, if what has changed since is so many times the gradient; NaN if it is something else, and
        the one ``before`` where numbers do not tell."""
        numbers = sample(now) if now.shape == self.shape and now.numel() >= _FEWEST else None
        if numbers is None or self.numbers is None or self.gradient is None:
            return before
        old, gradient = self.numbers.double(), self.gradient.double()
        update, square = old - numbers.double(), float(gradient.square().sum())
        if not 0 < square < math.inf or not math.isfinite(float(update.sum())):
            return before
        rate = float(update.dot(gradient)) / square
        rounding = 2 * torch.finfo(now.dtype).eps * float(old.norm())
        length = float(update.norm())
        straight = float((update - rate * gradient).norm()) <= _STRAIGHT * length + rounding
        return rate if rate > 0 and straight and length > 4 * rounding else math.nan


def sample(tensor: Tensor) -> Tensor | None:
    """A few numbers of a tensor; None on a device, where to compare them would be to wait."""
    if type(tensor.detach()) is not Tensor or not tensor.is_cpu or tensor.layout != torch.strided:
        return None
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // _SAMPLE)].clone()


def same_numbers(now: Tensor | None, before: Tensor | None) -> bool:
    """Whether two samples are the same; NaN is NaN, or weights that are lost would seem to change for ever."""
    if now is None or before is None or now.shape != before.shape:
        return now is before
    return bool(torch.isclose(now, before, rtol=0.0, atol=0.0, equal_nan=True).all())


class HandWritten:
    """Follows the tensors of one hand-written training from one gradient of them to the next.

    They take no gradient in ``grad``, or are replaced and not changed: a leaf of ours, over the same numbers, stands in
    for each.

    Attributes
    ----------
    optimizer : what stands for its updates, once one was seen; holds the leaves
    leaves : what stands for the tensors
    now : what is trained, where that is known, from the end of a step until the next gradient is complete
    """

    def __init__(self) -> None:
        self.optimizer: ByHand | None = None
        self.leaves: list[Tensor] = []
        self.now: list[Tensor] = []
        self._marks: list[Mark] = []  # of all tensors until an update is seen, then of the one that tells
        self._chosen: list[int] = []  # places of what is trained among what a gradient is taken of
        self._tells = 0  # place of one of them that has changed
        self._refs: list[weakref.ref[Tensor]] = []  # to what is trained, where it stays the same tensors

    @property
    def sought(self) -> bool:
        """Whether a gradient was complete after which an update may come."""
        return bool(self._marks)

    def held(self) -> list[Tensor]:
        """What is trained, if it stays the same tensors and all are there."""
        alive = [t for ref in self._refs if (t := ref()) is not None]
        return alive if len(alive) == len(self._refs) else []

    def expect(self, tensors: Sequence[Tensor], gradients: Sequence[Tensor | None], looking: bool) -> None:
        """The gradients of ``tensors`` are complete."""
        self.now = []
        again = self.sought
        if self.optimizer is None:
            self._marks = [Mark.of(t, g) for t, g in zip(tensors, gradients, strict=True)]
            return
        if len(tensors) > len(self.leaves):
            gradients = [gradients[i] for i in self._chosen if i < len(gradients)]
            tensors = self.trained(list(tensors))
        if len(tensors) != len(self.leaves):
            return  # of another kind
        if looking:
            self._take(gradients, add=again)
        if not again:
            self._marks = [Mark.of(tensors[self._tells], gradients[self._tells])]
        else:
            self._marks[0].add(gradients[self._tells])

    def trained(self, tensors: list[Tensor]) -> list[Tensor]:
        """Those of ``tensors``, which a gradient is taken of, that are trained; all while that is not known."""
        return [tensors[i] for i in self._chosen if i < len(tensors)] if self.optimizer is not None else tensors

    def ended(self, asked: Callable[[], list[Tensor]]) -> bool:
        """Whether there was an update; ``asked`` gives what a gradient is to be taken of now, if one is."""
        if not self._marks:
            return False
        if self.optimizer is None:
            return self._begun(asked())
        now = self.held() or self.trained(asked())
        mark = self._marks[0]
        if len(now) != len(self.leaves):
            stepped = mark.ref() is None  # it is gone: another has taken its place
        else:
            stepped = mark.changed(now[self._tells])
            if stepped:
                group = self.optimizer.param_groups[0]
                group["lr"] = mark.rate(now[self._tells], group["lr"])
        if stepped:
            self._marks = []
            self.now = now
        return stepped

    def _begun(self, tensors: list[Tensor]) -> bool:
        """Whether this was the first update: of tensors that are still the same, else of those that are others now."""
        marks, self._marks = self._marks, []
        if [t.shape for t in tensors] != [mark.shape for mark in marks]:
            return False
        same = [i for i, mark in enumerate(marks) if mark.ref() is tensors[i]]
        changed = [i for i in same if marks[i].changed(tensors[i])]
        if changed:
            self._chosen = [i for i in same if i in changed or marks[i].still]
            self._refs = [weakref.ref(tensors[i]) for i in self._chosen]
        elif not same:
            self._chosen = changed = list(range(len(tensors)))
        else:
            return False
        largest = max(changed, key=lambda i: tensors[i].numel())
        self._tells = self._chosen.index(largest)
        self.now = [tensors[i] for i in self._chosen]
        self.leaves = [t.detach().requires_grad_() for t in self.now]
        self.optimizer = ByHand(self.leaves)
        self.optimizer.param_groups[0]["lr"] = marks[largest].rate(tensors[largest])
        return True

    def follow(self) -> None:
        """Have the leaves stand for what is trained now."""
        for leaf, tensor in zip(self.leaves, self.now, strict=True):
            if leaf.data_ptr() != tensor.data_ptr():
                leaf.data = tensor.detach()

    def drop(self) -> None:
        """Let go of the gradients."""
        for leaf in self.leaves:
            leaf.grad = None

    def _take(self, gradients: Sequence[Tensor | None], add: bool) -> None:
        """The gradients of the leaves; to be added where the script asks several times before it changes anything."""
        for leaf, gradient in zip(self.leaves, gradients, strict=True):
            if gradient is not None and gradient.shape == leaf.shape and gradient.dtype == leaf.dtype:
                leaf.grad = gradient + leaf.grad if add and leaf.grad is not None else gradient

    def forget(self) -> None:
        """Follow them no longer."""
        self.now, self._marks = [], []
