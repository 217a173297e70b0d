"""The newest rows of one family, kept as matrices: a signal's series is a column of one, and no loop over rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from surefoot.runs.schema import Family

KEPT_ROWS = 256
_FIRST_ROWS = 4
_SMALLEST = 8  # rows that a new matrix has room for; it doubles, for most layouts see few rows


@dataclass(frozen=True, slots=True)
class Layers:
    """One signal of one look over all modules, in depth order (first layer first).

    ``memo`` is for what rules work out of it: they share the object while its row is kept.
    """

    step: int
    names: tuple[str, ...]
    values: np.ndarray
    places: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    memo: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __getitem__(self, name: str) -> float:
        if not self.places:  # at the first question
            self.places.update(zip(self.names, range(len(self.names)), strict=True))
        at = self.places.get(name)
        return math.nan if at is None else float(self.values[at])


@dataclass(slots=True)
class Layout:
    """Where each signal of a family sits in its rows."""

    family: Family
    index: dict[tuple[str, str], int]
    by_signal: dict[str, tuple[tuple[str, ...], np.ndarray | slice, dict[str, int]]]
    losses: list[tuple[int, int | None, int | None, str]] = field(default_factory=list)


def lay_out(family: Family) -> Layout:
    """The layout of a family's rows."""
    grouped: dict[str, tuple[list[str], list[int]]] = {}
    for i, (signal, where) in enumerate(family.columns):
        names, at = grouped.setdefault(signal, ([], []))
        names.append(where)
        at.append(i)
    index = {column: i for i, column in enumerate(family.columns)}
    losses = [
        (i, index.get(("constant_loss", where)), index.get(("learning_rate", where)), where)
        for i, (signal, where) in enumerate(family.columns)
        if signal == "loss"
    ]
    return Layout(family, index, {s: (tuple(names), _span(at), {}) for s, (names, at) in grouped.items()}, losses)


def _span(at: list[int]) -> np.ndarray | slice:
    """Columns that stand side by side, as they do in all families of surefoot's own, are taken as one piece."""
    return slice(at[0], at[-1] + 1) if at[-1] - at[0] == len(at) - 1 else np.array(at)


class Block:
    """Rows of one layout that follow each other. ``steps[begin:end]`` and ``values[begin:end]`` never change again: who
    has a view of them may keep it."""

    __slots__ = ("begin", "end", "layout", "steps", "values")

    def __init__(self, layout: Layout, dtype: np.dtype) -> None:
        self.layout = layout
        self.begin = self.end = 0
        self.steps = np.empty(_SMALLEST, np.int64)
        self.values = np.empty((_SMALLEST, len(layout.family.columns)), dtype)

    def add(self, step: int, values: np.ndarray) -> None:
        """One row more."""
        if self.end == len(self.steps):
            kept = self.end - self.begin
            room = max(_SMALLEST, 2 * kept)
            for name in ("steps", "values"):
                old = getattr(self, name)
                new = np.empty((room, *old.shape[1:]), old.dtype)
                new[:kept] = old[self.begin : self.end]
                setattr(self, name, new)
            self.begin, self.end = 0, kept
        self.steps[self.end] = step
        self.values[self.end] = values
        self.end += 1


class KeptRows:
    """The newest 256 rows of a family and the first 4, oldest first.

    Attributes
    ----------
    step, layout, newest : of the newest row; ``newest`` are its values
    kept : how many of the newest are kept; more where a row has the loss of one of several optimisers only
    """

    def __init__(self, layout: Layout) -> None:
        self.step = 0
        self.kept = KEPT_ROWS
        self.layout = layout
        self.newest = np.empty(0, np.float32)
        self._first: list[tuple[int, Layout, np.ndarray]] = []
        self._blocks: list[Block] = []
        self._count = 0  # of all rows ever
        # by signal and number of the row, for several rules ask for the same one
        self._layers: dict[str, dict[int, Layers]] = {}
        self._first_layers: dict[str, list[Layers]] = {}

    def __len__(self) -> int:
        return min(self._count, self.kept)

    def add(self, step: int, layout: Layout, values: np.ndarray) -> None:
        """Take in one row."""
        if not self._blocks or self._blocks[-1].layout is not layout:
            self._blocks.append(Block(layout, values.dtype))
        block = self._blocks[-1]
        block.add(step, values)
        self._count += 1
        self.step, self.layout, self.newest = step, layout, block.values[block.end - 1]
        if len(self._first) < _FIRST_ROWS:
            self._first.append((step, layout, self.newest))
            self._first_layers.clear()
        if self._count > self.kept:
            oldest = self._blocks[0]
            oldest.begin += 1
            if oldest.begin == oldest.end:
                del self._blocks[0]

    def series(self, signal: str, where: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values (float64) of the rows that have this column."""
        parts = [
            (block.steps[block.begin : block.end], block.values[block.begin : block.end, at])
            for block in self._blocks
            if (at := block.layout.index.get((signal, where))) is not None
        ]
        if len(parts) == 1:
            return parts[0][0], parts[0][1].astype(np.float64)
        if not parts:
            return np.empty(0, np.int64), np.empty(0)
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]).astype(np.float64)

    def recent_layers(self, signal: str, n: int) -> list[Layers]:
        """The newest ``n`` rows of a signal over all modules, newest last; rows that lack it are passed over."""
        known = self._layers.setdefault(signal, {})
        if len(known) > 2 * self.kept:
            for number in [k for k in known if k <= self._count - self.kept]:
                del known[number]
        found: list[Layers] = []
        for number, block, row in self._backwards(signal):
            layers = known.get(number)
            if layers is None:
                layers = known[number] = layers_of(signal, int(block.steps[row]), block.layout, block.values[row])
            found.append(layers)
            if len(found) == n:
                break
        return found[::-1]

    def first_layers(self, signal: str) -> list[Layers]:
        """The first rows of a signal, of the first 4 of the family."""
        found = self._first_layers.get(signal)
        if found is None:
            found = [layers_of(signal, *row) for row in self._first if signal in row[1].by_signal]
            self._first_layers[signal] = found
        return list(found)

    def _backwards(self, signal: str) -> Iterator[tuple[int, Block, int]]:
        number = self._count
        for block in reversed(self._blocks):
            if signal in block.layout.by_signal:
                for row in range(block.end - 1, block.begin - 1, -1):
                    yield number, block, row
                    number -= 1
            else:
                number -= block.end - block.begin


def layers_of(signal: str, step: int, layout: Layout, values: np.ndarray) -> Layers:
    """One row's values of a signal that its layout has; read-only, for rules share them."""
    names, at, places = layout.by_signal[signal]
    taken = values[at].astype(np.float64)
    taken.flags.writeable = False
    return Layers(step, names, taken, places)
