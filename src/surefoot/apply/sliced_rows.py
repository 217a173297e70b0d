"""Batches that a script slices itself, as in ``x[i : i + 50], y[i : i + 50]``: which rows they are to be instead.

A slice is no batch by itself. Asked for is what a pass over data looks like: slices of one length, one behind the
other, of an index, or of several tensors of the same length at the same place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class _Pass:
    """Slices of tensors of one length: of the first of them, and of what is sliced along with it."""

    size: int
    leader: int
    start: int = -1
    followers: set[int] = field(default_factory=set)
    advanced: bool = False
    order: Tensor | None = None
    broken: bool = False


class SlicedRows:
    """Follows the slices of a script.

    Parameters
    ----------
    order : from a number of rows to a random order of them
    """

    def __init__(self, order: Callable[[int], Tensor]) -> None:
        self._order = order
        self._passes: dict[tuple[int, bool], _Pass] = {}  # by the number of rows, and whether it is an index

    def rows(self, tensor: Tensor, start: int, stop: int) -> Tensor | None:
        """The rows to be taken in the place of ``start:stop``; None for those themselves."""
        length, size = len(tensor), stop - start
        if tensor.requires_grad or not (0 <= start < length and 2 <= size <= length // 2):
            return None
        index = _is_index(tensor)
        here = tensor.data_ptr()
        found = self._passes.setdefault((length, index), _Pass(size, here))
        if found.broken or size != found.size or start % size:
            found.broken = True
            return None
        if here == found.leader or index:
            self._next(found, start, length, index)
        elif start == found.start:
            found.followers.add(here)
        else:
            found.broken = True
        return None if found.order is None or found.broken else found.order[start:stop]

    def _next(self, found: _Pass, start: int, length: int, index: bool) -> None:
        found.advanced |= start == found.start + found.size
        if found.advanced and (index or found.followers) and (found.order is None or start <= found.start):
            found.order = self._order(length)
        found.start = start


def _is_index(tensor: Tensor) -> bool:
    """Whether it holds whole numbers, not negative and all different."""
    if tensor.dim() != 1 or tensor.dtype not in (torch.int64, torch.int32):
        return False
    return not bool((tensor < 0).any()) and len(tensor.unique()) == len(tensor)
