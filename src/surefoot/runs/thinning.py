"""Keeps a record within its size: older rows are thinned, a little after each commit, evenly over the run's past."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Set

from surefoot.runs.store import PAGE_SIZE

KEPT_STEPS = 100
"""The first steps stay whole: that is where most runs that fail show it."""

ROW_BYTES = 12
"""What a row takes beside its values."""

_START = 0.85  # share of the bound at which thinning starts, so that the file stays below it meanwhile
_SLICE_ROWS = 256


class Thinner:
    """Thins the older half of the rows (by size) so that the file stays below ``max_bytes``.

    Of each family one row in ``stride`` steps stays, the first. When the older half has nothing closer than that left,
    the stride doubles, which drops every second row; so the past keeps one even density instead of fading away. The
    family "step" has a stride of its own, which grows only when the other families hold less than a quarter of
    the data. Work is done in slices in proportion to what arrives, so that no commit waits long.

    Parameters
    ----------
    connection : of the writer, with no transaction open
    max_bytes : bound of the file's size
    scalars : ids of the layouts of the family "step"; may grow
    """

    def __init__(self, connection: sqlite3.Connection, max_bytes: int, scalars: Set[int]) -> None:
        self._connection = connection
        self._max = max_bytes
        self._scalars = scalars
        # By whether the family is "step"; not grouped by family, as SQLite would copy all data aside to do so
        size, ids = f"sum(length(data) + {ROW_BYTES})", ", ".join(map(str, scalars))
        query = f"SELECT {size} FILTER (WHERE family IN ({ids})), {size} FROM rows"
        scalar, total = (found or 0 for found in connection.execute(query).fetchone())
        self._bytes = {True: scalar, False: total - scalar}
        (self._blob_bytes,) = connection.execute("SELECT ifnull(sum(length(array)), 0) FROM blobs").fetchone()
        self._stride = {True: self._load("thinned_step_stride"), False: self._load("thinned_stride")}
        self._arrived = 0  # since the size was last looked at
        self._frontier = 0  # everything up to this step has the present stride
        self._below: float = math.inf  # bytes up to there; infinite: not known, start over
        self._left: float = 0  # bytes that the pass under way has yet to go through
        self._buckets: dict[int, int] = {}  # the bucket of ``stride`` steps of each family that has its row

    def _load(self, key: str) -> int:
        found = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return int(found[0]) if found else 1

    def work(self, scalars: int, others: int, blobs: int) -> None:
        """Take note of the bytes just committed (rows of "step", other rows, blobs), and thin if it is time."""
        self._bytes[True] += scalars
        self._bytes[False] += others
        self._blob_bytes += blobs
        arrived = scalars + others + blobs
        self._arrived += arrived
        if self._left <= 0:
            if self._arrived < self._max // 64:
                return
            self._arrived = 0
            if self._used() <= _START * self._max:
                return
            self._begin()
        quota = 4 * arrived + 4 * PAGE_SIZE
        while self._left > 0 and quota > 0:
            quota -= self._slice()

    def _used(self) -> int:
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        return int(pages - free) * PAGE_SIZE

    def _begin(self) -> None:
        if self._blob_bytes > self._max / 2:
            self._thin_blobs()
            return
        total = self._bytes[True] + self._bytes[False]
        left = total / 2 - self._below
        if left < total / 16:
            scalar = self._bytes[False] < total / 4
            self._stride[scalar] *= 2
            key = "thinned_step_stride" if scalar else "thinned_stride"
            items = [("thinned", "true"), (key, str(self._stride[scalar]))]
            self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", items)
            self._frontier, self._below, left = self._head(total), 0, total / 2
            self._buckets.clear()
        self._left = left

    def _head(self, total: int) -> int:
        """The last of the steps that stay whole; none do if they alone take a quarter of the data."""
        size = "SELECT ifnull(sum(length(data) + ?), 0) FROM rows WHERE step <= ?"
        (head,) = self._connection.execute(size, (ROW_BYTES, KEPT_STEPS)).fetchone()
        return KEPT_STEPS if head <= total / 4 else 0

    def _slice(self) -> int:
        """Thin the next few steps; returns the bytes gone through."""
        query = "SELECT step, family, data FROM rows WHERE step > ? ORDER BY step, family LIMIT ?"
        rows = self._connection.execute(query, (self._frontier, _SLICE_ROWS)).fetchall()
        if len(rows) == _SLICE_ROWS and rows[0][0] != rows[-1][0]:  # the last step may be cut: leave it to the next
            rows = [row for row in rows if row[0] != rows[-1][0]]
        if not rows:
            self._left = 0
            return 0
        buckets = dict(self._buckets)
        kept: list[tuple[int, int, bytes]] = []
        seen = {True: 0, False: 0}
        dropped = {True: 0, False: 0}
        last = self._frontier
        for row in rows:
            step, family, data = row
            if step != last and seen[True] + seen[False] >= self._left:
                break
            last = step
            scalar = family in self._scalars
            size = len(data) + ROW_BYTES
            seen[scalar] += size
            stride = self._stride[scalar]
            if stride > 1 and buckets.get(family) == step // stride:
                dropped[scalar] += size
            else:
                buckets[family] = step // stride
                kept.append(row)
        dropping = dropped[True] + dropped[False]
        if dropping:
            # Taken out and put back together: holes among the rows that stay would never be filled again.
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("DELETE FROM rows WHERE step > ? AND step <= ?", (self._frontier, last))
            self._connection.executemany("INSERT INTO rows (step, family, data) VALUES (?, ?, ?)", kept)
            self._connection.execute("COMMIT")
        self._buckets = buckets
        self._frontier = last
        for scalar in (True, False):
            self._bytes[scalar] -= dropped[scalar]
        through = seen[True] + seen[False]
        self._below += through - dropping
        self._left -= through
        return through

    def _thin_blobs(self) -> None:
        """Drop every second one of the older half."""
        every_second = (
            "DELETE FROM blobs WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS place,"
            " count(*) OVER () AS number FROM blobs) WHERE place % 2 = 0 AND place <= number / 2)"
        )
        self._connection.execute(every_second)
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('thinned', 'true')")
        (self._blob_bytes,) = self._connection.execute("SELECT ifnull(sum(length(array)), 0) FROM blobs").fetchone()
