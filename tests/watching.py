"""An observer in place for the length of a ``with`` block, with everything it hands over kept in lists."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from surefoot.findings import Engine
from surefoot.observe.budget import Budget
from surefoot.observe.later import Later
from surefoot.observe.observer import Observer
from surefoot.observe.patches import Patches
from surefoot.runs import Event
from surefoot.runs.schema import Family, Finding


class Kept:
    """A sink that keeps rows and events."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, Family, np.ndarray]] = []
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self.observer: Observer

    def row(self, step: int, family: Family, values: np.ndarray) -> None:
        self.rows.append((step, family, values))

    def event(self, step: int, kind: str, /, **data: Any) -> None:
        self.events.append((step, kind, data))

    def flush(self) -> None:
        pass

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The data of all events of a kind."""
        return [data for _, k, data in self.events if k == kind]

    def signal(self, name: str, where: str = "") -> dict[int, float]:
        """The values of one signal by step, those not measured left out."""
        found = {}
        for step, family, values in self.rows:
            if (name, where) in family.columns:
                value = float(values[family.columns.index((name, where))])
                if not np.isnan(value):
                    found[step] = value
        return found

    def findings(self) -> dict[str, Finding]:
        """What the rules find in all of it, by id."""
        engine = Engine()
        engine.feed_all(self.rows, [Event(*event) for event in self.events])
        return {finding.id: finding for finding in engine.findings}


@contextmanager
def watching(
    every: int | None = None, means: str | None = None, fraction: float = 0.02, delayed: bool = False, **only: Any
) -> Iterator[Kept]:
    """Watch what is trained inside the block."""
    gc.collect()  # models of earlier tests
    kept = Kept()
    kept.observer = Observer(kept, Budget(fraction, every), means, later=Later(delayed), **only)
    patches = Patches(kept.observer)
    try:
        yield kept
    finally:
        patches.remove()
        kept.observer.close()
