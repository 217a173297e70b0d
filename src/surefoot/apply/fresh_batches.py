"""``fresh-batches``: in training, ``iter(loader)`` goes on where the loader's last iterator was left.

So ``next(iter(loader))`` gives one batch after the other, and a pass that ends with ``break`` is continued by the next
one. An iterator that is asked for more after it has said that it is over begins anew: no ``for`` does so, but a script
that passes over ``StopIteration`` and goes on with the last batch. A generator that is seeded with the same number in
each step gets another seed (:mod:`surefoot.apply.seeded_again`). An evaluation (without gradients, or of a model in
evaluation mode) begins anew, as ever.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from surefoot.apply.cure import Desk, ModelCure, Patch
from surefoot.apply.seeded_again import SeededAgain


class FreshBatches(ModelCure):
    """Keeps one iterator a loader, until it has given all."""

    id = "fresh-batches"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._open: weakref.WeakKeyDictionary[Any, _Pass] = weakref.WeakKeyDictionary()
        self._seeds = SeededAgain(lambda: self.training and self._seeds.steps > 0, self._reseeded)
        self._reseeds = 0

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """What ``iter(loader)`` calls, and what seeds."""
        yield DataLoader, "__iter__", functools.partial(self._iterating, guard)
        yield from self._seeds.patches(guard)

    def before_step(self, optimizer: Optimizer) -> None:
        """The draws of another step follow."""
        self._seeds.steps += 1

    def _reseeded(self) -> None:
        self._reseeds += 1
        self.act()

    def _iterating(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def __iter__(loader: Any) -> Any:
            begin = functools.partial(original, loader)
            found = guard(self._batches, loader, begin)
            return begin() if found is None else found

        return __iter__

    def _batches(self, loader: Any, begin: Callable[[], Any]) -> Any:
        """The pass that was left, or a new one."""
        if not self.training:
            return begin()
        known = self._open.get(loader)
        if known is None or not known.left_open:
            known = self._open[loader] = _Pass(begin, self.act)
            return known
        # a new iterator would have drawn its seed: what else is drawn stays what it was
        torch.empty((), dtype=torch.int64).random_(generator=loader.generator)
        known.resume()
        self.act()
        return known

    def at_close(self) -> None:
        """Let go of the iterators; say so where there was nothing to change."""
        self._open.clear()
        if not self.acted:
            self.note(
                "no pass over a data loader was left before its end, and no step seeded as the one before it did; "
                "nothing was changed"
            )

    def summary(self) -> str:
        """How often."""
        passes = self.acted - self._reseeds
        went_on = f"went on with the pass before {passes:,} times" if passes or not self.acted else ""
        seeded = f"gave {self._reseeds:,} other seeds" if self._reseeds else ""
        return ", and ".join(filter(None, (went_on, seeded)))


class _Pass:
    """A pass over the data that can be resumed; where nothing was left of it, it begins anew."""

    def __init__(self, begin: Callable[[], Iterator[Any]], anew: Callable[[], None]) -> None:
        self._begin, self._inner, self._anew = begin, begin(), anew
        self._given, self._over, self._resumed = False, False, False

    @property
    def left_open(self) -> bool:
        """Whether it has given a batch and has not said that it is over."""
        return self._given and not self._over

    def resume(self) -> None:
        """It is asked for again."""
        self._resumed = True

    def __iter__(self) -> _Pass:
        return self

    def __len__(self) -> int:
        return len(self._inner)  # type: ignore[arg-type]

    def __next__(self) -> Any:
        resumed, self._resumed = self._resumed, False
        if self._over:
            self._inner, self._over = self._begin(), False
            self._anew()
        try:
            batch = next(self._inner)
        except StopIteration:
            if not resumed:
                self._over = True
                raise
            self._inner = self._begin()
            batch = next(self._inner)
        self._given = True
        return batch
