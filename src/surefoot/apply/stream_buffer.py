"""A stream of samples in a random order, as far as a buffer reaches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

_BYTES = 1 << 28
_SAMPLES = 1 << 14  # of a stream that never ends, no more are waited for


def mixed(stream: Iterator[Any], generator: torch.Generator) -> Iterator[Any]:
    """The samples of a stream, each drawn from those that wait: all of them, or as many as a buffer holds.

    Parameters
    ----------
    stream : samples: tensors, arrays, numbers, or lists and dictionaries of them
    generator : draws the order
    """
    waiting: list[Any] = []
    held = 0
    for sample in stream:
        waiting.append(sample)
        held += _size(sample)
        if held > _BYTES or len(waiting) > _SAMPLES:
            drawn = _draw(waiting, generator)
            held -= _size(drawn)
            yield drawn
    while waiting:
        yield _draw(waiting, generator)


def _draw(waiting: list[Any], generator: torch.Generator) -> Any:
    place = int(torch.randint(len(waiting), (), generator=generator))
    waiting[place], waiting[-1] = waiting[-1], waiting[place]
    return waiting.pop()


def _size(sample: Any) -> int:
    """In bytes."""
    return sum(int(getattr(leaf, "nbytes", 0)) or sys.getsizeof(leaf) for leaf in tree_leaves(sample))
