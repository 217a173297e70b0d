"""How the script is wired: gradients that were never cleared, trainable parameters that no optimiser holds."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

from torch import Tensor
from torch.optim import Optimizer

from surefoot.observe.discover import Models

PROBES = 4


class StaleProbe:
    """Watches a few gradients from the end of one step to the end of the next backward.

    A gradient that is the same memory at the same version when the next backward begins was not cleared, and if that
    backward then writes to it, the script adds this step's gradient to the last one's.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        # the smallest tensors, since they are compared with zero
        with_gradient = [
            p for g in optimizer.param_groups for p in g["params"] if p.grad is not None and not p.grad.is_sparse
        ]
        chosen = sorted(with_gradient, key=lambda p: p.numel())[:PROBES]
        self._watched = [(weakref.ref(p), p.grad.data_ptr(), p.grad._version) for p in chosen]
        self._kept: list[tuple[weakref.ref[Tensor], int, int]] | None = None
        self._added = 0

    def before_backward(self) -> None:
        """The next backward begins: which gradients are still there?"""
        if self._kept is None:
            self._kept = [w for w in self._watched if self._unchanged(*w) and bool(w[0]().grad.any())]  # type: ignore[union-attr]

    def after_backward(self) -> None:
        """A backward ended: was something added to them?"""
        for entry in list(self._kept or ()):
            parameter = entry[0]()
            if parameter is not None and parameter.grad is not None and parameter.grad.data_ptr() == entry[1]:
                if parameter.grad._version != entry[2]:
                    self._added += 1
                    self._kept.remove(entry)  # type: ignore[union-attr]
            else:
                self._kept.remove(entry)  # type: ignore[union-attr]

    @staticmethod
    def _unchanged(ref: weakref.ref[Tensor], pointer: int, version: int) -> bool:
        parameter = ref()
        gradient = None if parameter is None else parameter.grad
        return gradient is not None and gradient.data_ptr() == pointer and gradient._version == version

    @property
    def share(self) -> float | None:
        """Share of the probes whose old gradient was added to; None if no backward was seen."""
        return self._added / len(self._watched) if self._watched and self._kept is not None else None


class MissedParameters:
    """Trainable parameters in the loss's graph that no optimiser holds and that nobody updates by hand."""

    def __init__(self) -> None:
        self._versions: dict[int, tuple[weakref.ref[Tensor], int]] | None = None

    def missed(self, leaves: Sequence[Tensor], held: set[int], models: Models) -> list[str] | None:
        """Names of those that were not touched since the last look; None at the first look, which can't know."""
        before, self._versions = self._versions, {}
        names: list[str] = []
        for leaf in leaves:
            owned = models.find(leaf)
            if id(leaf) in held or owned is None or owned.layer.module is None:
                continue
            self._versions[id(leaf)] = (weakref.ref(leaf), leaf._version)
            ref, version = (before or {}).get(id(leaf), (None, -1))
            if ref is not None and ref() is leaf and version == leaf._version:
                names.append(owned.path)
        return None if before is None else names
