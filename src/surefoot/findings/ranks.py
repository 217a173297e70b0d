"""Several ranks' records read as one: where ranks that should agree do not, and what only one of them saw."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from surefoot.runs.reader import Run, open_run
from surefoot.runs.schema import Family, Finding

Row = tuple[int, Family, np.ndarray]


def joined_rows(run: Run, others: list[int]) -> Iterator[Row]:
    """The rows of ``run`` and, at steps that other ranks recorded too, rows of the family ``replicas``.

    ``replica_distance`` of a layer is the largest relative difference between this rank's projection of its weights
    and another's, ``replica_rank`` that other rank, ``learning_rate_spread`` of an optimiser the largest relative
    difference of learning rates.

    Where parameters are spread over ranks, what each has recorded is of its own shards: norms are joined to those of
    the whole, and so is the decrease that a step promises. At steps that only this rank looked at, its own shards
    stand for all.
    """
    events = run.events("replicas")
    shards = int(events[-1].data.get("shards", 1)) if events else 1
    if shards > 1:
        return _whole(run, others, shards)
    return heapq.merge(run.rows(), _comparisons(run, others), key=lambda row: (row[0], row[1].name))


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
    ours = _values(run)
    theirs = {rank: _values(open_run(run.path, rank)) for rank in others}
    for step, mine in ours.items():
        shared = {rank: values[step] for rank, values in theirs.items() if step in values}
        layers = [where for signal, where in mine if signal == "weight_projection"]
        if not shared or not layers:
            continue
        optimizers = [where for signal, where in mine if signal == "learning_rate"]
        spread = {
            column: [(_difference(value, other[column]), rank) for rank, other in shared.items() if column in other]
            for column, value in mine.items()
        }
        distances = [max(spread["weight_projection", layer], default=(np.nan, 0)) for layer in layers]
        rates = [max(spread["learning_rate", name], default=(np.nan, 0))[0] for name in optimizers]
        columns = (
            *(("replica_distance", layer) for layer in layers),
            *(("learning_rate_spread", name) for name in optimizers),
            ("replica_rank", ""),
        )
        values = [*(distance for distance, _ in distances), *rates, max(distances)[1]]
        yield step, Family("replicas", columns), np.array(values, dtype=np.float32)


def _values(run: Run) -> dict[int, dict[tuple[str, str], float]]:
    """What is compared between ranks, by step."""
    found: dict[int, dict[tuple[str, str], float]] = {}
    for family in ("ranks", "step"):
        for step, layout, values in run.rows(family):
            if family == "step" and step not in found:
                continue
            measured = found.setdefault(step, {})
            for column, value in zip(layout.columns, values.tolist(), strict=True):
                if column[0] in ("weight_projection", "learning_rate") and np.isfinite(value):
                    measured[column] = value
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
