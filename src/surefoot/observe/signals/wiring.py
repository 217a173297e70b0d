"""How the script is wired: gradients that were never cleared, trainable parameters that no optimiser holds."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.observe.discover import Models, Owned
from surefoot.observe.signals.phases import sample

_NEAR = 0.5  # of its length: what began elsewhere is √2 away
PROBES = 64  # gradients: what is cleared may be a part of the model, as of one of its modules


class StaleProbe:
    """Watches gradients from one step of their optimiser to its next.

    A gradient that is the same memory at the same version when a backward begins was not cleared since. If no backward
    finds it cleared, and one adds to it, then the next step takes the last step's gradient a second time. (A gradient
    that another model's backward adds to, and that is cleared before its own, is none: so it is in a GAN.)
    """

    def __init__(self, optimizer: Optimizer) -> None:
        with_gradient = [
            p for g in optimizer.param_groups for p in g["params"] if p.grad is not None and not p.grad.is_sparse
        ]
        chosen = with_gradient[:: -(-len(with_gradient) // PROBES) or 1]
        self._number = len(chosen)
        self._old = [_Old(weakref.ref(p), p.grad.data_ptr(), p.grad._version) for p in chosen]
        self._began = False

    def before_backward(self) -> None:
        """A backward begins: which gradients are still what they were?"""
        first, self._began = not self._began, True
        self._old = [old for old in self._old if old.unchanged() and not (first and old.zero())]

    def after_backward(self) -> None:
        """A backward ended: was something added to them?"""
        for old in self._old:
            old.take()

    @property
    def share(self) -> float | None:
        """Share of the probes whose old gradient was added to; None if there was nothing to see."""
        return sum(old.added for old in self._old) / self._number if self._number and self._began else None


@dataclass(slots=True)
class _Old:
    """A gradient left over from the last step."""

    parameter: weakref.ref[Tensor]
    pointer: int
    version: int
    added: bool = False

    def unchanged(self) -> bool:
        parameter = self.parameter()
        gradient = None if parameter is None else parameter.grad
        return gradient is not None and gradient.data_ptr() == self.pointer and gradient._version == self.version

    def zero(self) -> bool:
        gradient = self.parameter().grad  # type: ignore[union-attr]
        # on an accelerator the version alone must tell: to ask for the numbers would be to wait for them
        if not gradient.is_cpu or bool(sample(gradient).any()):  # type: ignore[union-attr,arg-type]
            return False
        return not bool(gradient.any())  # type: ignore[union-attr]

    def take(self) -> None:
        parameter = self.parameter()
        gradient = None if parameter is None else parameter.grad
        if gradient is not None and gradient.data_ptr() == self.pointer and gradient._version != self.version:
            self.added = True
            self.version = gradient._version


class MissedParameters:
    """Trainable parameters in the loss's graph that no optimiser holds and that nobody updates by hand.

    ``p.data.copy_(…)``, as of weights of which an optimiser holds a copy in another precision, does not count as a new
    version of ``p``, so a few numbers of it are compared as well; not on an accelerator, where that would be to wait.

    Attributes
    ----------
    left : names of missed ones that an optimiser held at an earlier look, which is gone, or rests
    """

    def __init__(self) -> None:
        self._before: dict[int, tuple[weakref.ref[Tensor], int, Tensor | None]] | None = None
        self._once: dict[int, weakref.ref[Tensor]] = {}  # that were held at some look
        self.left: set[str] = set()

    def missed(self, leaves: Sequence[Tensor], held: set[int], models: Models) -> list[str] | None:
        """Names of those that were not touched since the last look; None at the first look, which can't know."""
        first, self._before = self._before is None, self._before or {}
        for key in [key for key, (ref, *_) in self._before.items() if ref() is None or key in held]:
            del self._before[key]
        names: list[str] = []
        self.left.clear()
        for leaf in leaves:
            owned = models.find(leaf)
            if id(leaf) in held:
                self._once[id(leaf)] = weakref.ref(leaf)
                continue
            if owned is None:
                continue
            if (once := self._once.get(id(leaf))) is not None and once() is leaf:
                self.left.add(owned.path)
            now = sample(leaf).clone() if leaf.is_cpu else None
            # of players that take turns each look sees one: what it saw of the others is kept
            ref, version, old = self._before.get(id(leaf), (None, -1, None))
            self._before[id(leaf)] = (weakref.ref(leaf), leaf._version, now)
            same = ref is not None and ref() is leaf and version == leaf._version
            if same and (old is None or now is None or torch.equal(old, now)):
                names.append(owned.path)
        return None if first else names


def copied(missed: Iterable[Owned], held: Iterable[Owned]) -> bool:
    """Whether each of the ``missed`` is near a ``held`` one that has its place in another part, or model: a target
    network, which follows what learns. Layers of one stack, which may begin alike, are told apart by numbers alone."""
    places: dict[tuple, list[Tensor]] = {}
    for owned in held:
        if (parameter := owned.ref()) is not None:
            for place in _places(owned.path):
                places.setdefault(place, []).append(parameter)
    near, plain = [], []  # biases and scales may all be 0, or 1, wherever they are
    for owned in missed:
        own = owned.ref()
        others = [p for place in _places(owned.path) for p in places.get(place, ())]
        others = [p for p in others if own is not None and p.shape == own.shape and p.device == own.device]
        if own is None or not others:
            return False
        value = own.detach()
        away = torch.stack([(value - p.detach()).norm() for p in others])
        near.append((away <= _NEAR * value.norm()).any())
        plain.append((value == value.reshape(-1)[:1]).all())
    if not near:
        return False
    same, telling = torch.stack(near), ~torch.stack(plain)
    return bool(same.all() & telling.any())


def _places(path: str) -> list[tuple]:
    """The path without one of its names, for each that is no number and not the parameter's own."""
    names = path.split(".")
    return [(i, *names[:i], *names[i + 1 :]) for i, name in enumerate(names[:-1]) if not name.isdigit()]
