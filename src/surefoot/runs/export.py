"""A record as files that other tools read: one long tidy table, or TensorBoard's event files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches
from importlib import import_module
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.runs.reader import Run
from surefoot.runs.schema import json_safe

COLUMNS = ("step", "signal", "where", "value")
EVENT_COLUMNS = ("step", "kind", "data")
KINDS = ("parquet", "csv", "tensorboard")
_STRING = 7  # DT_STRING of TensorBoard's data types
_PIECE = 65_536  # rows of a Parquet row group


def export(run: Run, kind: str, out: Path, signals: Collection[str] | None = None) -> list[Path]:
    """Write a run's signals and events.

    Parquet and CSV: ``out`` is the table with a row for each measured value (step, signal, where, value), and beside
    it, under the same name with ``-events``, a table of the events (step, kind, data as JSON). TensorBoard: ``out`` is
    a folder with an event file, in which each value is a scalar named ``signal/where`` and each event a text.

    Parameters
    ----------
    run : a run opened with :func:`surefoot.open_run`
    kind : ``"parquet"``, ``"csv"`` or ``"tensorboard"``
    out : the file, or for TensorBoard the folder, to write
    signals : these signals only

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ValueError
        If ``kind`` is another, the run has none of a signal, or there is something at ``out`` already.
    ImportError
        If what ``kind`` needs isn't installed; the message names the extra.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(KINDS)}")
    known = run.signals()
    missing = [name for name in signals or () if name not in known]
    if missing:
        close = get_close_matches(missing[0], known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known) or 'none yet'}"
        raise ValueError(f"signal: the run has no {missing[0]!r}; {hint}")
    wanted = None if signals is None else frozenset(signals)
    writers: dict[str, Callable[[Run, Path, frozenset[str] | None], list[Path]]] = {
        "parquet": _parquet, "csv": _csv, "tensorboard": _tensorboard
    }  # fmt: skip
    return writers[kind](run, out, wanted)


def values(run: Run, wanted: frozenset[str] | None) -> Iterator[tuple[int, str, str, float]]:
    """(step, signal, where, value) of all that was measured, by step; NaN is what was not measured and is left out.

    A NaN of the script's own can't be told from one that was not measured: ``non-finite`` events say where it began.
    """
    for step, family, row in run.rows():
        for at in np.flatnonzero(~np.isnan(row)):
            signal, where = family.columns[at]
            if wanted is None or signal in wanted:
                yield step, signal, where, float(row[at])


def _beside(out: Path) -> Path:
    return out.with_name(f"{out.stem}-events{out.suffix}")


def _csv(run: Run, out: Path, wanted: frozenset[str] | None) -> list[Path]:
    events = _beside(out)
    with open(out, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        # float32, in as few digits as tell it from its neighbours
        table.writerows((s, signal, where, str(np.float32(v))) for s, signal, where, v in values(run, wanted))
    with open(events, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(EVENT_COLUMNS)
        table.writerows((event.step, event.kind, _json(event.data)) for event in run.events())
    return [out, events]


def _parquet(run: Run, out: Path, wanted: frozenset[str] | None) -> list[Path]:
    arrow = _needs("pyarrow", "parquet")
    parquet = _needs("pyarrow.parquet", "parquet")
    names = arrow.dictionary(arrow.int32(), arrow.string())
    schema = arrow.schema(
        [("step", arrow.int64()), ("signal", names), ("where", names), ("value", arrow.float32())],
        metadata={"surefoot": _json(run.meta)},
    )
    with parquet.ParquetWriter(out, schema) as writer:
        measured = values(run, wanted)
        while piece := list(islice(measured, _PIECE)):
            columns = [arrow.array(c, f.type) for c, f in zip(zip(*piece, strict=True), schema, strict=True)]
            writer.write_table(arrow.table(columns, schema=schema))
    events = run.events()
    data = {"step": [e.step for e in events], "kind": [e.kind for e in events], "data": [_json(e.data) for e in events]}
    fields = [("step", arrow.int64()), ("kind", arrow.string()), ("data", arrow.string())]
    parquet.write_table(arrow.table(data, schema=arrow.schema(fields)), _beside(out))
    return [out, _beside(out)]


def _tensorboard(run: Run, out: Path, wanted: frozenset[str] | None) -> list[Path]:
    _needs("tensorboard", "tensorboard")
    files = _needs("tensorboard.summary.writer.event_file_writer", "tensorboard")
    event_pb2 = _needs("tensorboard.compat.proto.event_pb2", "tensorboard")
    summary_pb2 = _needs("tensorboard.compat.proto.summary_pb2", "tensorboard")
    tensor_pb2 = _needs("tensorboard.compat.proto.tensor_pb2", "tensorboard")
    shape_pb2 = _needs("tensorboard.compat.proto.tensor_shape_pb2", "tensorboard")
    metadata = summary_pb2.SummaryMetadata(plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="text"))
    one = shape_pb2.TensorShapeProto(dim=[shape_pb2.TensorShapeProto.Dim(size=1)])
    times = _times(run)
    before = set(out.glob("*")) if out.exists() else set()
    writer = files.EventFileWriter(str(out))
    try:
        for step, group in groupby(values(run, wanted), key=lambda value: value[0]):
            scalars = [
                summary_pb2.Summary.Value(tag=f"{signal}/{where}" if where else signal, simple_value=value)
                for _, signal, where, value in group
            ]
            summary = summary_pb2.Summary(value=scalars)
            writer.add_event(event_pb2.Event(wall_time=times(step), step=step, summary=summary))
        for event in run.events():
            if event.kind != "look":  # one each few steps: the signals say as much
                words = tensor_pb2.TensorProto(dtype=_STRING, string_val=[_json(event.data).encode()], tensor_shape=one)
                value = summary_pb2.Summary.Value(tag=f"events/{event.kind}", metadata=metadata, tensor=words)
                summary = summary_pb2.Summary(value=[value])
                writer.add_event(event_pb2.Event(wall_time=times(event.step), step=event.step, summary=summary))
    finally:
        writer.close()
    return sorted(set(out.glob("*")) - before) or [out]


def _times(run: Run) -> Callable[[int], float]:
    """When a step was, about: the record's beginning and the time of its steps."""
    from datetime import datetime

    try:
        start = datetime.fromisoformat(str(run.meta.get("started"))).timestamp()
    except ValueError:
        start = 0.0
    timed = [(s, v) for s, _, _, v in values(run, frozenset({"step_time"}))]
    pace = float(np.median([v for _, v in timed])) if timed else 0.0
    return lambda step: start + step * pace


def _needs(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f"{module} can't be imported ({error}): pip install 'surefoot[{extra}]'") from error


def _json(value: Any) -> str:
    return json.dumps(json_safe(value), ensure_ascii=False, allow_nan=False)
