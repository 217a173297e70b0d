"""Cures in place for the length of a ``with`` block, with everything they tell kept in a list."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from surefoot.apply.catalogue import chosen
from surefoot.apply.cure import Desk
from surefoot.apply.interpose import Interposer


class Told:
    """What cures told, and the cures."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.interposer: Interposer

    def tell(self, kind: str, /, *, at: int | None = None, **data: Any) -> None:
        self.events.append((kind, data))

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The data of all events of a kind."""
        return [data for k, data in self.events if k == kind]

    @property
    def notes(self) -> list[str]:
        return [data["text"] for data in self.of("note")]

    @property
    def summaries(self) -> dict[str, str]:
        return self.interposer.summaries()


@contextmanager
def curing(*texts: str, offset: int = 0, **only: Any) -> Iterator[Told]:
    """Apply remedies, as ``--apply`` takes them, to what is trained inside the block."""
    gc.collect()  # models of earlier tests
    told = Told()
    told.interposer = Interposer(chosen(texts), Desk(told.tell, offset), **only)
    try:
        yield told
    finally:
        told.interposer.close(0)
