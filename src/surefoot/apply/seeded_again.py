"""Random generators that a script seeds with the same number again and again in training: they draw the same numbers.

The second time that a place of the script seeds with a number, in another step of training or within one, it is given
another seed, which follows from the first. An evaluation keeps its own, for there the same draws are meant to be.
"""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import numpy as np
import torch

from surefoot.apply.cure import Patch
from surefoot.apply.script_calls import by_the_script, caller

_APART = 1_000_003  # between seeds, so that a script's own next seed is none of them


class SeededAgain:
    """Gives other seeds.

    Parameters
    ----------
    training : whether this moment is one of training
    changed : called where a seed was changed
    within : whether meant is what is seeded alike within one step, and not what is in several
    """

    def __init__(self, training: Callable[[], bool], changed: Callable[[], None], within: bool = False) -> None:
        self._training, self._changed, self._within = training, changed, within
        self._times: Counter[tuple[str, int, int]] = Counter()  # that a place seeded with a number before
        self._last: dict[tuple[str, int, int], int] = {}  # the step at which it did so last
        self.steps = 0

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """What seeds: of torch, of numpy, of Python."""
        yield torch, "Generator", functools.partial(self._generator, guard)
        for home in (np.random, random):
            yield home, "RandomState" if home is np.random else "Random", functools.partial(self._made, guard)
            yield home, "seed", functools.partial(self._seeding, guard)
        for home, name in ((torch, "manual_seed"), (torch.random, "manual_seed"), (np.random, "default_rng")):
            yield home, name, functools.partial(self._seeding, guard)

    def _generator(self, guard: Callable[..., Any], original: Any) -> Any:
        class Generator(original):
            """Torch's, which asks before it is seeded."""

            def manual_seed(self, seed: Any) -> Any:
                other = guard(again.other, seed, caller())
                return super().manual_seed(seed if other is None else other)

        again = self
        return Generator

    def _made(self, guard: Callable[..., Any], original: Any) -> Any:
        """A generator that is seeded as it is made; what it makes is of the original type."""
        again = self

        class Kind(type):
            """Whether something is one of them is asked of the original."""

            def __call__(cls, *args: Any, **kwargs: Any) -> Any:
                other = guard(again.other, args[0] if args else kwargs.get("seed"), caller())
                return original(*args, **kwargs) if other is None else original(other)

            def __instancecheck__(cls, thing: Any) -> bool:
                return isinstance(thing, original)

        return Kind(original.__name__, (original,), {"__doc__": original.__doc__})

    def _seeding(self, guard: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def seeded(seed: Any = None, *args: Any, **kwargs: Any) -> Any:
            other = guard(self.other, seed, caller())
            return original(seed if other is None else other, *args, **kwargs)

        return seeded

    def other(self, seed: Any, frame: FrameType) -> int | None:
        """The seed to be used in the place of this one; None for itself."""
        library = "-packages" in frame.f_code.co_filename  # a split of data by sklearn, say, is to be the same again
        if not isinstance(seed, int) or library or not by_the_script(frame):
            return None
        key = frame.f_code.co_filename, frame.f_lineno, seed
        known = self._last.get(key)
        if self._within:
            self._times[key] = self._times[key] + 1 if known == self.steps else 0
        elif known != self.steps:
            self._times[key] += known is not None
        self._last[key] = self.steps
        if not self._times[key] or not self._training():
            return None
        self._changed()
        return (seed + _APART * self._times[key]) % (1 << 32)
