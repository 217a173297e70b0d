"""What a rule may see: everything recorded up to now, and nothing after."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from surefoot.findings.levels import LossLevel
from surefoot.findings.pace import Pace
from surefoot.runs.schema import Family

KEPT_ROWS = 256
KEPT_EVENTS = 256
_FIRST_ROWS = 4


class EventLike(Protocol):
    """What :meth:`History.feed_event` takes: a ``step``, a ``kind`` and ``data``."""

    @property
    def step(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def data(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Layers:
    """One signal of one look over all modules, in depth order (first layer first)."""

    step: int
    names: tuple[str, ...]
    values: np.ndarray

    def __getitem__(self, name: str) -> float:
        return float(self.values[self.names.index(name)]) if name in self.names else math.nan


@dataclass(slots=True)
class _Layout:
    """Where each signal of a family sits in its rows."""

    family: Family
    index: dict[tuple[str, str], int]
    by_signal: dict[str, tuple[tuple[str, ...], np.ndarray]]
    losses: list[tuple[int, int | None, int | None, str]] = field(default_factory=list)


_Row = tuple[int, _Layout, np.ndarray]


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows of one layout that follow each other."""

    layout: _Layout
    steps: np.ndarray
    values: np.ndarray


class History:
    """A run as recorded so far: the newest 256 rows of each family and the first 4, all events of interest, and the
    statistics that rules share.

    Attributes
    ----------
    step : the step just fed.
    losses : optimiser name → :class:`LossLevel`.
    paces : optimiser name → :class:`Pace`, for the optimisers whose steps were looked at.
    """

    def __init__(self) -> None:
        self.step = 0
        self.losses: dict[str, LossLevel] = {}
        self.paces: dict[str, Pace] = {}
        self._layouts: dict[int, _Layout] = {}
        self._rows: dict[str, deque[_Row]] = {}
        self._first: dict[str, list[_Row]] = {}
        self._home: dict[str, str] = {}  # signal → family
        self._blocks: dict[str, tuple[_Row | None, list[_Block]]] = {}
        self._events: dict[str, deque[EventLike]] = {}
        self._modules: dict[str, Mapping[str, Any]] = {}

    # --- in ----------------------------------------------------------------------------------------------------

    def feed_event(self, event: EventLike) -> None:
        """Take in one event."""
        self.step = max(self.step, event.step)
        self._events.setdefault(event.kind, deque(maxlen=KEPT_EVENTS)).append(event)
        if event.kind == "modules":
            self._modules = {str(m["name"]): m for m in event.data.get("modules", ())}

    def feed(self, step: int, family: Family, values: np.ndarray) -> None:
        """Take in one row."""
        self.step = step
        layout = self._layouts.get(id(family)) or self._lay_out(family)
        name = family.name
        rows = self._rows[name]
        rows.append((step, layout, values))
        if len(rows) <= _FIRST_ROWS:
            first = self._first[name]
            if len(first) < _FIRST_ROWS:
                first.append((step, layout, values))
        if name == "step":
            for at, constant_at, rate_at, where in layout.losses:
                level = self.losses.get(where)
                if level is None:
                    level = self.losses[where] = LossLevel()
                loss = values.item(at)
                if loss == loss or self._was_nan(level, None if rate_at is None else values.item(rate_at)):
                    level.add(step, loss)
                else:
                    level.refreshed = False
                if constant_at is not None:
                    constant = values.item(constant_at)
                    if constant == constant:
                        level.add_constant(constant)
        elif name == "weights":
            self._pace(step, layout, values)

    def _was_nan(self, level: LossLevel, learning_rate: float | None) -> bool:
        """A NaN loss was the script's, not a gap: its optimiser stepped, and losses were measured before it."""
        if learning_rate is not None and learning_rate != learning_rate:
            return False
        return level.count > 0 or any(e.data.get("kind") == "loss" for e in self._events.get("nonfinite", ()))

    def _lay_out(self, family: Family) -> _Layout:
        index = {column: i for i, column in enumerate(family.columns)}
        grouped: dict[str, tuple[list[str], list[int]]] = {}
        for i, (signal, where) in enumerate(family.columns):
            names, at = grouped.setdefault(signal, ([], []))
            names.append(where)
            at.append(i)
            self._home[signal] = family.name
        by_signal = {s: (tuple(names), np.array(at)) for s, (names, at) in grouped.items()}
        losses = [
            (i, index.get(("constant_loss", where)), index.get(("learning_rate", where)), where)
            for i, (signal, where) in enumerate(family.columns)
            if signal == "loss"
        ]
        layout = _Layout(family, index, by_signal, losses)
        self._layouts[id(family)] = layout  # the layout keeps the family alive, so its id stays its own
        self._rows.setdefault(family.name, deque(maxlen=KEPT_ROWS))
        self._first.setdefault(family.name, [])
        return layout

    def _pace(self, step: int, layout: _Layout, values: np.ndarray) -> None:
        # families come sorted by name, so "gradients" and "step" of this step are already here
        for where in layout.by_signal.get("update_norm", ((), None))[0]:
            level = self.losses.get(where)
            if level is None:
                level = self.losses.get("")
            if level is None or not level.count:
                continue
            weight, update, promised = (
                values.item(layout.index[s, where]) if (s, where) in layout.index else math.nan for s in _PACE
            )
            pace = self.paces.get(where)
            if pace is None:
                pace = self.paces[where] = Pace()
            loss = level.newest if level.newest_step == step else level.recent
            gradient_norm = self.value("gradient_norm", where, step)
            rate = self.value("learning_rate", where)
            pace.add(step, level, loss, (weight, update, gradient_norm), promised, rate)

    # --- out ---------------------------------------------------------------------------------------------------

    def value(self, signal: str, where: str = "", step: int | None = None) -> float:
        """The newest value (NaN if there is none, or if ``step`` is given and the newest is of another step)."""
        rows = self._rows.get(self._home.get(signal, ""))
        if not rows:
            return math.nan
        at_step, layout, values = rows[-1]
        at = layout.index.get((signal, where))
        return math.nan if at is None or (step is not None and at_step != step) else values.item(at)

    def series(self, signal: str, where: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Steps and values of the newest rows, newest last; NaN and infinities are kept."""
        name = self._home.get(signal, "")
        rows = self._rows.get(name)
        if not rows:
            return np.empty(0, np.int64), np.empty(0)
        parts = [
            (block.steps, block.values[:, at])
            for block in self._blocks_of(name, rows)
            if (at := block.layout.index.get((signal, where))) is not None
        ]
        if len(parts) == 1:
            return parts[0][0], parts[0][1].astype(np.float64)
        if not parts:
            return np.empty(0, np.int64), np.empty(0)
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]).astype(np.float64)

    def _blocks_of(self, name: str, rows: deque[_Row]) -> list[_Block]:
        """The rows of a family as matrices, one for each layout that they have in turn; made once a row."""
        newest, blocks = self._blocks.get(name, (None, []))
        if newest is not rows[-1]:
            runs = [list(group) for _, group in groupby(rows, key=lambda row: id(row[1]))]
            blocks = [
                _Block(run[0][1], np.array([r[0] for r in run], np.int64), np.stack([r[2] for r in run]))
                for run in runs
            ]
            self._blocks[name] = (rows[-1], blocks)
        return blocks

    def layers(self, signal: str) -> Layers | None:
        """The newest row of a signal over all modules."""
        found = self.recent_layers(signal, 1)
        return found[-1] if found else None

    def recent_layers(self, signal: str, n: int) -> list[Layers]:
        """The newest ``n`` rows of a signal over all modules, newest last; rows that lack it are passed over."""
        out: list[Layers] = []
        for row in reversed(self._rows.get(self._home.get(signal, ""), ())):
            out += _layers(signal, [row])
            if len(out) == n:
                break
        return out[::-1]

    def first_layers(self, signal: str) -> list[Layers]:
        """The first rows of a signal (at most 4), kept however long the run is: what initialisation gave."""
        return _layers(signal, self._first.get(self._home.get(signal, ""), []))

    def looks(self, signal: str) -> int:
        """How many rows of this signal's family are kept (at most 256)."""
        return len(self._rows.get(self._home.get(signal, ""), ()))

    def wheres(self, signal: str) -> tuple[str, ...]:
        """The modules, optimisers or loss functions this signal was recorded for in the newest row."""
        rows = self._rows.get(self._home.get(signal, ""))
        if not rows:
            return ()
        return rows[-1][1].by_signal.get(signal, ((), None))[0]

    def events(self, kind: str) -> list[EventLike]:
        """The events of one kind, oldest first (the newest 256)."""
        return list(self._events.get(kind, ()))

    def module(self, name: str) -> Mapping[str, Any]:
        """What the newest ``modules`` event says of one module; empty if nothing."""
        return self._modules.get(name, {})

    def optimizer(self, name: str) -> Mapping[str, Any]:
        """What the newest ``optimizers`` event says of one optimiser; empty if nothing."""
        for event in reversed(self._events.get("optimizers", ())):
            for optimizer in event.data.get("optimizers", ()):
                if optimizer.get("name", "") == name:
                    return optimizer
        return {}

    @property
    def learned(self) -> bool:
        """Some loss of this run has gone down clearly, beyond its noise and beyond a constant prediction."""
        return any(level.count >= 3 and not level.stuck for level in self.losses.values())


_PACE = ("weight_norm", "update_norm", "predicted_decrease")


def _layers(signal: str, rows: Iterable[_Row]) -> list[Layers]:
    out = []
    for step, layout, values in rows:
        at = layout.by_signal.get(signal)
        if at is not None:
            out.append(Layers(step, at[0], np.asarray(values, dtype=np.float64)[at[1]]))
    return out
