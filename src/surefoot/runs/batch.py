"""What waits in memory for a commit."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from surefoot.runs.schema import json_safe

FLOAT32 = np.dtype("<f4")
"""How the values of rows are stored, on every machine."""


def merged(first: bytes, second: bytes) -> bytes:
    """A row written twice: the values of the second, and those of the first where the second has NaN."""
    old, new = np.frombuffer(first, FLOAT32), np.frombuffer(second, FLOAT32)
    return np.where(np.isnan(new), old, new).tobytes()


@dataclass
class Batch:
    """Rows, layouts, blobs, events and meta on their way to the file, as the tables want them.

    Written twice it leaves the record as written once, so that a commit that was cut short can be repeated.
    """

    rows: dict[tuple[int, int], bytes] = field(default_factory=dict)  # by (step, id of the layout)
    families: list[tuple[int, str, str]] = field(default_factory=list)
    blobs: dict[tuple[int, str, str], bytes] = field(default_factory=dict)  # by (step, signal, key)
    events: list[tuple[int, int, str, str]] = field(default_factory=list)
    meta: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.rows or self.families or self.blobs or self.events or self.meta)

    def followed_by(self, later: Batch) -> Batch:
        """Both as one."""
        rows = dict(self.rows)
        for key, data in later.rows.items():
            rows[key] = merged(rows[key], data) if key in rows else data
        return Batch(
            rows,
            self.families + later.families,
            {**self.blobs, **later.blobs},
            self.events + later.events,
            {**self.meta, **later.meta},
        )

    def size(self) -> int:
        """Bytes of the rows and blobs."""
        return sum(map(len, self.rows.values())) + sum(map(len, self.blobs.values()))


def to_json(value: Any) -> str:
    """Strict JSON of anything: what it does not know becomes numbers where it holds some, else text."""
    return json.dumps(json_safe(value), allow_nan=False, default=_plain, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return json_safe(value.tolist())
    if isinstance(value, set | frozenset):
        return json_safe(sorted(value, key=str))
    return str(value)
