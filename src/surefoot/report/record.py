"""What a report reads: the record of a run as numpy arrays, one a signal, read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot.runs.schema import Family, Finding, verdict

if TYPE_CHECKING:
    from surefoot.runs.reader import Run


@dataclass(frozen=True)
class Signal:
    """One signal over the run: ``values[i, j]`` was measured at ``steps[i]`` in ``wheres[j]`` (NaN: not measured)."""

    name: str
    steps: np.ndarray
    wheres: tuple[str, ...]
    values: np.ndarray

    def at(self, where: str) -> np.ndarray | None:
        """The values of one place over ``steps``, or None where the signal does not exist there."""
        return self.values[:, self.wheres.index(where)] if where in self.wheres else None

    def last(self, where: str) -> float:
        """The newest measured value of one place, infinite ones included; NaN if there is none."""
        values = self.at(where)
        if values is None:
            return float("nan")
        measured = np.flatnonzero(~np.isnan(values))
        return float(values[measured[-1]]) if measured.size else float("nan")


def finished(run: Run) -> bool:
    """Whether the run's diagnosis is its last: it says how the run ended."""
    words = (run.diagnosis or {}).get("exit") or {}
    return words.get("code") is not None or bool(words.get("exception"))


class Record:
    """A run's findings, events and signals, as the terminal and the page show them.

    Works on any record: without a final diagnosis (then the rules are run over it), without steps, without a family.
    It is a still picture: what the run records afterwards is not in it.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.meta: dict[str, Any] = dict(run.meta)
        self.diagnosis: dict[str, Any] = run.diagnosis or {}
        self.findings = self._findings(run)
        self.steps: int = max(int(run.steps or 0), int(self.diagnosis.get("steps") or 0))
        self._groups: list[tuple[Family, np.ndarray, np.ndarray]] = []
        self._signals: dict[str, Signal | None] = {}
        self._read()
        self._events: dict[str, list[Any]] = {}
        for event in run.events():
            self._events.setdefault(event.kind, []).append(event)

    @staticmethod
    def _findings(run: Run) -> tuple[Finding, ...]:
        if finished(run):
            found = run.findings
        else:
            from surefoot.findings import diagnose

            found = diagnose(run)
        return tuple(sorted(found, key=lambda finding: finding.rank))

    def _read(self) -> None:
        rows: dict[int, tuple[Family, list[int], list[np.ndarray]]] = {}
        for step, family, values in self.run.rows():
            group = rows.get(id(family))
            if group is None:
                group = rows[id(family)] = (family, [], [])
            group[1].append(step)
            group[2].append(values)
        for family, steps, packed in rows.values():
            self._groups.append((family, np.asarray(steps, dtype=np.int32), np.stack(packed)))

    @property
    def ended(self) -> bool:
        """Whether the run left last words."""
        return finished(self.run)

    @property
    def newest(self) -> int:
        """The step of the newest row; not every step has one."""
        return max((int(steps[-1]) for _, steps, _ in self._groups), default=self.steps)

    @property
    def inspected(self) -> bool:
        """Whether this is no run but a look before the first step."""
        return bool(self.meta.get("inspected"))

    @property
    def judged(self) -> bool:
        """Whether there was anything to judge."""
        return bool(self.steps or self.findings or self.inspected)

    @property
    def verdict(self) -> str:
        """``failing``, ``warning`` or ``healthy``."""
        return verdict(self.findings)

    @property
    def script(self) -> str:
        """The script's path as it was given."""
        return str(self.meta.get("script") or self.diagnosis.get("script") or "unknown script")

    @property
    def modules(self) -> list[dict[str, Any]]:
        """The newest list of modules, in order of depth."""
        events = self.events("modules")
        return list(events[-1].data.get("modules", ())) if events else []

    def events(self, kind: str) -> list[Any]:
        """All events of one kind, oldest first."""
        return self._events.get(kind, [])

    def signal(self, name: str) -> Signal | None:
        """One signal, or None if it was never recorded."""
        if name not in self._signals:
            self._signals[name] = self._signal(name)
        return self._signals[name]

    def _signal(self, name: str) -> Signal | None:
        parts = []
        for family, steps, values in self._groups:
            places = {where: i for i, (signal, where) in enumerate(family.columns) if signal == name}
            if places:
                parts.append((places, steps, values))
        if not parts:
            return None
        if len(parts) == 1:
            places, steps, values = parts[0]
            first, last = min(places.values()), max(places.values())
            if list(places.values()) == list(range(first, last + 1)):
                # Columns that stand side by side need no copy, which counts on long records.
                return Signal(name, steps, tuple(places), values[:, first : last + 1])
        # A family whose modules changed is several groups: the newest order leads, places that are gone come last.
        wheres = tuple(dict.fromkeys(where for places, _, _ in reversed(parts) for where in places))
        steps = np.concatenate([steps for _, steps, _ in parts])
        values = np.full((len(steps), len(wheres)), np.nan, dtype=np.float32)
        start = 0
        for places, part_steps, part in parts:
            stop = start + len(part_steps)
            targets = [i for i, where in enumerate(wheres) if where in places]
            values[start:stop, targets] = part[:, [places[wheres[i]] for i in targets]]
            start = stop
        order = np.argsort(steps, kind="stable")
        return Signal(name, steps[order], wheres, values[order])

    def nonfinite(self, signal: Signal, where: str) -> np.ndarray:
        """Which rows hold a value that is infinite or NaN, as a mask over ``signal.steps``.

        NaN also means "not measured". It counts as a value from the first `nonfinite` event on, in a column that was
        measured in every row before.
        """
        values = signal.at(where)
        if values is None:
            return np.zeros(len(signal.steps), dtype=bool)
        mask = np.isinf(values)
        events = self.events("nonfinite")
        if events:
            after = signal.steps >= min(event.step for event in events)
            if not np.isnan(values[~after]).any():
                mask |= np.isnan(values) & after
        return mask
