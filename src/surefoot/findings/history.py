"""What a rule may see: everything recorded up to now, and nothing after."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, Protocol, TypeVar

import numpy as np

from surefoot.findings.kept_rows import KEPT_ROWS, KeptRows, Layers, Layout, lay_out
from surefoot.findings.levels import LossLevel
from surefoot.findings.pace import Pace
from surefoot.findings.rates import RateLevel
from surefoot.runs.schema import Family

KEPT_EVENTS = 256
T = TypeVar("T")


class EventLike(Protocol):
    """What :meth:`History.feed_event` takes: a ``step``, a ``kind`` and ``data``."""

    @property
    def step(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def data(self) -> Mapping[str, Any]: ...


class History:
    """A run as recorded so far: the newest 256 rows of each family and the first 4, all events of interest, and the
    statistics that rules share.

    Attributes
    ----------
    step : the step just fed.
    losses : optimiser name → :class:`LossLevel`.
    paces : optimiser name → :class:`Pace`, for the optimisers whose steps were looked at.
    rates : optimiser name → :class:`RateLevel`.
    """

    def __init__(self) -> None:
        self.step = 0
        self.losses: dict[str, LossLevel] = {}
        self.paces: dict[str, Pace] = {}
        self.rates: dict[str, RateLevel] = {}
        self._succeeded: set[str] = set()  # optimisers that replaced another and have had no loss yet
        self._kinds: dict[str, tuple[tuple[Any, Any], int]] = {}  # type and parameters of each optimiser, since when
        self._layouts: dict[int, Layout] = {}
        self._rows: dict[str, KeptRows] = {}  # by family
        self._home: dict[str, KeptRows] = {}  # by signal: the rows of its family
        self._events: dict[str, deque[EventLike]] = {}
        self._modules: dict[str, Mapping[str, Any]] = {}
        self._of_type: dict[tuple[int, tuple[str, ...]], tuple[tuple[str, ...], np.ndarray]] = {}
        self._once: dict[str, tuple[int, Any]] = {}  # by what was asked: the step, and the answer

    # --- in ----------------------------------------------------------------------------------------------------

    def feed_event(self, event: EventLike) -> None:
        """Take in one event."""
        self.step = max(self.step, event.step)
        if event.kind == "optimizers":
            self._next_stage(event)
        self._events.setdefault(event.kind, deque(maxlen=KEPT_EVENTS)).append(event)
        if event.kind == "modules":
            self._modules = {str(m["name"]): m for m in event.data.get("modules", ())}
            self._of_type.clear()

    def _next_stage(self, event: EventLike) -> None:
        """An optimiser that replaces one of its name and holds others than that did, or has a rate of a hundredth of
        its rate or less, begins a stage of its own: what its loss is measured against begins anew. (One that holds as
        many of the same, at such a rate, goes on: the next fold, say.) Of one of another type the loss goes on, but not
        the rate: those of Adam and of SGD are no measure of each other."""
        for new in event.data.get("optimizers", ()):
            name = new.get("name", "")
            old = self.optimizer(name)
            kind = new.get("type"), new.get("parameters")
            if kind != self._kinds.get(name, (None, 0))[0]:
                self._kinds[name] = kind, event.step
                self.rates.pop(name, None)
            other = old.get("parameters") and new.get("parameters") and old["parameters"] != new["parameters"]
            gentle = 0 < _rate_of(new) <= _GENTLE * _rate_of(old)
            if other or gentle:
                before = self.losses.pop(name, None)
                self.paces.pop(name, None)
                self.rates.pop(name, None)
                if gentle and before is not None:
                    # what was above a constant prediction's was none of the task: a start that was sure and wrong
                    began = min(before.first, before.constant) if before.known else before.first
                    self.losses[name] = LossLevel((began + before.best) / 2)
            elif old:
                self._succeeded.add(name)

    def feed(self, step: int, family: Family, values: np.ndarray) -> None:
        """Take in one row."""
        self.step = step
        layout = self._layouts.get(id(family)) or self._lay_out(family)
        name = family.name
        self._rows[name].add(step, layout, values)
        if name == "step":
            for at, constant_at, rate_at, where in layout.losses:
                level = self.losses.get(where)
                if level is None:
                    level = self.losses[where] = LossLevel()
                loss = values.item(at)
                if where in self._succeeded:
                    level = self._first_of_its_own(where, level, loss)
                rate = None if rate_at is None else values.item(rate_at)
                if rate is not None and rate == rate:
                    self._rate(where).add(step, rate)
                if loss == loss or self._was_nan(level, where, rate):
                    best = level.best
                    level.add(step, loss)
                    if level.best != best and where in self.rates:
                        self.rates[where].did_well()
                else:
                    level.refreshed = False
                if constant_at is not None:
                    constant = values.item(constant_at)
                    if constant == constant:
                        level.add_constant(constant, loss)
        elif name == "weights":
            self._pace(step, layout, values)

    def _first_of_its_own(self, where: str, level: LossLevel, loss: float) -> LossLevel:
        """The loss that an optimiser finds was made by none of its steps: a leap there begins a stage, too, or a drop
        by orders of magnitude, for it is another task, or other data."""
        self._succeeded.discard(where)
        if level.leaps(loss) or level.drops(loss):
            self.paces.pop(where, None)
            self.rates.pop(where, None)
            level = self.losses[where] = LossLevel()
        return level

    def _rate(self, where: str) -> RateLevel:
        found = self.rates.get(where)
        if found is None:
            found = self.rates[where] = RateLevel()
        return found

    def _was_nan(self, level: LossLevel, where: str, learning_rate: float | None) -> bool:
        """A NaN loss was the script's, not a gap: its optimiser stepped, and losses were measured before it.

        A rate that is not there says that it did not step, unless it never has one (a descent by hand).
        """
        if where in self.rates and learning_rate is not None and learning_rate != learning_rate:
            return False
        return level.count > 0 or any(e.data.get("kind") == "loss" for e in self._events.get("nonfinite", ()))

    def _lay_out(self, family: Family) -> Layout:
        layout = lay_out(family)
        self._layouts[id(family)] = layout  # the layout keeps the family alive, so its id stays its own
        if family.name not in self._rows:
            self._rows[family.name] = KeptRows(layout)
        # where steps are short, each of several optimisers has its losses in rows of its own
        rows = self._rows[family.name]
        rows.kept = max(rows.kept, KEPT_ROWS * len(layout.losses))
        self._home.update(dict.fromkeys(layout.by_signal, self._rows[family.name]))
        return layout

    def _pace(self, step: int, layout: Layout, values: np.ndarray) -> None:
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
        rows = self._home.get(signal)
        if not rows:
            return math.nan
        at = rows.layout.index.get((signal, where))
        return math.nan if at is None or (step is not None and rows.step != step) else rows.newest.item(at)

    def series(self, signal: str, where: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Steps and values of the newest rows, newest last; NaN and infinities are kept."""
        rows = self._home.get(signal)
        return rows.series(signal, where) if rows else (np.empty(0, np.int64), np.empty(0))

    def measured(self, signal: str, where: str = "") -> tuple[np.ndarray, np.ndarray]:
        """The same of the rows that have a finite value."""
        steps, values = self.series(signal, where)
        seen = np.isfinite(values)
        return steps[seen], values[seen]

    def together(self, *columns: tuple[str, str]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Steps at which each (signal, where) of these has a finite value, and the values of each, newest last."""
        read = [self.measured(*column) for column in columns]
        steps = reduce(np.intersect1d, (at for at, _ in read))
        return steps, [values[np.searchsorted(at, steps, side="right") - 1] for at, values in read]

    def layers(self, signal: str) -> Layers | None:
        """The newest row of a signal over all modules."""
        found = self.recent_layers(signal, 1)
        return found[-1] if found else None

    def recent_layers(self, signal: str, n: int) -> list[Layers]:
        """The newest ``n`` rows of a signal over all modules, newest last; rows that lack it are passed over.

        Of an inspection the one look stands for all ``n``.
        """
        rows = self._home.get(signal)
        found = rows.recent_layers(signal, n) if rows else []
        return found * n if self.inspected and len(found) == 1 else found

    def first_layers(self, signal: str) -> list[Layers]:
        """The first rows of a signal (at most 4), kept however long the run is: what initialisation gave."""
        rows = self._home.get(signal)
        return rows.first_layers(signal) if rows else []

    def once(self, name: str, compute: Callable[[], T]) -> T:
        """What ``compute`` makes of this history, made once a step for all rules that ask for ``name``."""
        found = self._once.get(name)
        if found is None or found[0] != self.step:
            found = self._once[name] = self.step, compute()
        answer: T = found[1]
        return answer

    def looks(self, signal: str) -> int:
        """How many rows of this signal's family are kept (at most 256)."""
        return len(self._home.get(signal, ()))

    def wheres(self, signal: str) -> tuple[str, ...]:
        """The modules, optimisers or loss functions this signal was recorded for in the newest row."""
        rows = self._home.get(signal)
        return rows.layout.by_signal.get(signal, ((), None))[0] if rows else ()

    def events(self, kind: str) -> list[EventLike]:
        """The events of one kind, oldest first (the newest 256)."""
        return list(self._events.get(kind, ()))

    def module(self, name: str) -> Mapping[str, Any]:
        """What the newest ``modules`` event says of one module; empty if nothing."""
        return self._modules.get(name, {})

    def of_type(self, names: tuple[str, ...], words: tuple[str, ...]) -> np.ndarray:
        """Which of these modules have one of ``words`` in the lower-case name of their type."""
        known = self._of_type.get((id(names), words))
        if known is None or known[0] is not names:  # kept with the names, so that their id stays theirs
            kinds = (str(self.module(name).get("type", "")).lower() for name in names)
            mask = np.fromiter((any(word in kind for word in words) for kind in kinds), bool, len(names))
            known = self._of_type[id(names), words] = (names, mask)
        return known[1]

    def optimizer(self, name: str) -> Mapping[str, Any]:
        """What the newest ``optimizers`` event says of one optimiser; empty if nothing."""
        for event in reversed(self._events.get("optimizers", ())):
            for optimizer in event.data.get("optimizers", ()):
                if optimizer.get("name", "") == name:
                    return optimizer
        return {}

    def of_a_kind_since(self, name: str) -> int:
        """The step since which the optimiser of this name has been of one type, with as many parameters; 0 if it was
        never told of."""
        return self._kinds.get(name, (None, 0))[1]

    @property
    def inspected(self) -> bool:
        """No step is taken: what the start alone shows is judged, and no loss will tell whether it does harm."""
        return "inspected" in self._events

    @property
    def learned(self) -> bool:
        """Some loss of this run has gone down clearly, beyond its noise and beyond a constant prediction."""
        return any(level.count >= 3 and not level.stuck for level in self.losses.values())


def _rate_of(optimizer: Mapping[str, Any]) -> float:
    """The learning rate that an optimiser was made with, 0 where none is told."""
    rate = optimizer.get("defaults", {}).get("lr")
    return float(rate) if isinstance(rate, int | float) else 0.0


_GENTLE = 1e-2  # of the rate before: no step of a schedule, but another setting
_PACE = ("weight_norm", "update_norm", "predicted_decrease")
