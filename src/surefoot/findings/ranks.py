"""Several ranks' records read as one: where ranks that should agree do not, and what only one of them saw."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np

from surefoot.runs.reader import Run, open_run
from surefoot.runs.schema import Family, Finding

Row = tuple[int, Family, np.ndarray]


def joined_rows(run: Run, others: list[int]) -> Iterator[Row]:
    """The rows of ``run`` and, at steps that other ranks recorded too, rows of the families ``replicas`` (weights) and
    ``replica_steps`` (what moves them).

    ``replica_distance`` of a layer is the largest relative difference between this rank's projection of its weights
    and another's, ``replica_rank`` that other rank, ``learning_rate_spread`` of an optimiser the largest relative
    difference of learning rates, ``gradient_spread`` the same of the norms of its gradients.

    Where parameters are spread over ranks, what each has recorded is of its own shards: norms are joined to those of
    the whole, and so is the decrease that a step promises. At steps that only this rank looked at, its own shards
    stand for all.
    """
    events = run.events("replicas")
    shards = int(events[-1].data.get("shards", 1)) if events else 1
    if shards > 1:
        return _whole(run, others, shards)
    compared = (_comparisons(run, others), _comparisons_of_steps(run, others))
    return heapq.merge(run.rows(), *compared, key=lambda row: (row[0], row[1].name))


_NORMS = ("gradient_norm", "weight_norm", "update_norm")  # √ of a sum over the shards
_MEANS = ("gradient_rms", "weight_rms", "update_rms")  # √ of a mean over shards of one size
_SUMS = ("predicted_decrease",)


def _whole(run: Run, others: list[int], shards: int) -> Iterator[Row]:
    """The rows of ``run`` with its shards' values replaced by those of whole parameters."""
    families = ("gradients", "weights")
    theirs: dict[tuple[int, str], list[dict[tuple[str, str], float]]] = {}
    for rank in others:
        other = open_run(run.path, rank)
        for name in families:
            for step, layout, values in other.rows(name):
                theirs.setdefault((step, name), []).append(dict(zip(layout.columns, values.tolist(), strict=True)))
    for step, family, values in run.rows():
        if family.name not in families:
            yield step, family, values
            continue
        joined = np.array(values, dtype=np.float64)
        for place, (signal, where) in enumerate(family.columns):
            mine = joined[place]
            found = [row.get((signal, where), np.nan) for row in theirs.get((step, family.name), ())]
            every = np.array([mine, *(value for value in found if not np.isnan(value))])
            if signal in _NORMS:  # ranks that hold the same shard are counted once
                joined[place] = np.sqrt(shards * np.square(every).mean())
            elif signal in _MEANS:
                joined[place] = np.sqrt(np.square(every).mean())
            elif signal in _SUMS:
                joined[place] = shards * every.mean()
        yield step, family, joined.astype(np.float32)


def _comparisons(run: Run, others: list[int]) -> Iterator[Row]:
    """The weights of the ranks, at the steps at which they were projected."""
    ours = _values(run, "ranks", "weight_projection")
    theirs = {rank: _values(open_run(run.path, rank), "ranks", "weight_projection") for rank in others}
    for step, mine in ours.items():
        spread = _spread(step, mine, theirs)
        if not spread:
            continue
        columns = (*(("replica_distance", layer) for _, layer in mine), ("replica_rank", ""))
        distances = [spread.get(column, (np.nan, 0)) for column in mine]
        values = [*(distance for distance, _ in distances), max(spread.values())[1]]
        yield step, _family("replicas", columns), np.array(values, dtype=np.float32)


_MOVERS = {"learning_rate": "learning_rate_spread", "gradient_norm": "gradient_spread"}


def _comparisons_of_steps(run: Run, others: list[int]) -> Iterator[Row]:
    """The gradients of the ranks, at steps that they looked at, and their learning rates, there and where they differ
    at all."""
    found = []
    for each in (run, *(open_run(run.path, rank) for rank in others)):
        rates, norms = _values(each, "step", "learning_rate"), _values(each, "gradients", "gradient_norm")
        found.append({step: rates.get(step, {}) | norms.get(step, {}) for step in sorted({*rates, *norms})})
    for step, mine in found[0].items():
        spread = _spread(step, mine, dict(enumerate(found[1:])))
        uneven = any(value for (signal, _), (value, _) in spread.items() if signal == "learning_rate")
        if uneven or any(signal == "gradient_norm" for signal, _ in spread):
            columns = tuple((_MOVERS[signal], name) for signal, name in spread)
            values = np.array([value for value, _ in spread.values()], dtype=np.float32)
            yield step, _family("replica_steps", columns), values


Column = tuple[str, str]


@lru_cache(maxsize=64)
def _family(name: str, columns: tuple[Column, ...]) -> Family:
    """One and the same object for rows of one layout: who reads them knows layouts by it."""
    return Family(name, columns)


def _spread(
    step: int, mine: dict[Column, float], theirs: dict[int, dict[int, dict[Column, float]]]
) -> dict[Column, tuple[float, int]]:
    """Of each value that some other rank has too at this step: the largest relative difference, and whose it is."""
    spread: dict[Column, tuple[float, int]] = {}
    for rank, values in theirs.items():
        for column, value in values.get(step, {}).items():
            if column in mine:
                spread[column] = max(spread.get(column, (0.0, rank)), (_difference(mine[column], value), rank))
    return spread


def _values(run: Run, family: str, signal: str) -> dict[int, dict[Column, float]]:
    """One signal of a rank, by step."""
    found: dict[int, dict[Column, float]] = {}
    for step, layout, values in run.rows(family):
        measured = {c: v for c, v in zip(layout.columns, values.tolist(), strict=True) if c[0] == signal and v == v}
        if measured:
            found[step] = {column: value for column, value in measured.items() if np.isfinite(value)}
    return found


def _difference(a: float, b: float) -> float:
    return abs(a - b) / max(abs(a), abs(b)) if a != b else 0.0


def with_others(findings: tuple[Finding, ...], others: dict[int, tuple[Finding, ...]]) -> list[Finding]:
    """The findings of a run's first rank, and those that only other ranks have, said to be theirs."""
    joined = {finding.id: finding for finding in findings}
    for rank, found in sorted(others.items()):
        for finding in found:
            known = joined.get(finding.id)
            if known is None or (known.severity == "info" and finding.severity != "info"):
                joined[finding.id] = replace(finding, cause=f"On rank {rank}: {finding.cause}")
    return list(joined.values())
