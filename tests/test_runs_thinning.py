"""A record stays within its size: older rows are thinned, evenly."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from surefoot.runs import Family, RunWriter, open_run

STEP = Family("step", (("loss", ""), ("learning_rate", "")))
MIB = 2**20


def row(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def bounded(folder: Path, max_bytes: int, resume: bool = False) -> RunWriter:
    writer = RunWriter(folder, max_bytes=max_bytes, resume=resume)
    assert writer._connection is not None
    writer._connection.execute("PRAGMA synchronous = OFF")  # so small a log goes to the disk at every commit: too slow
    return writer


@pytest.mark.parametrize(("layers", "steps", "bound"), [(200, 8000, 2 * MIB), (4000, 1000, 4 * MIB)])
def test_older_rows_are_thinned_evenly(tmp_path, layers, steps, bound):
    wide = Family("weights", tuple(("weight_rms", str(i)) for i in range(layers)))
    rng = np.random.default_rng(0)
    base = rng.random(layers, dtype=np.float32)
    with closing(bounded(tmp_path, bound)) as writer:
        for step in range(1, steps + 1):
            writer.row(step, wide, base + step)
            writer.row(step, STEP, row(step, 0))
            if step % (steps // 100) == 0:
                writer.flush()
                assert (tmp_path / "run.sqlite").stat().st_size <= bound
        assert writer.recording
        writer.row(1, wide, base + 0.5)  # a thinned record still takes what comes late
    run = open_run(tmp_path)
    assert run.meta["thinned"] is True
    assert run.frame("loss")[""].tolist() == list(range(1, steps + 1))
    frame = run.frame("weight_rms")
    kept = frame.index.to_numpy()
    assert len(kept) * layers * 4 > bound / 4  # no more is dropped than the bound asks for
    assert np.array_equal(frame.to_numpy()[1:], (base + kept[1:, None].astype(np.float32)).astype(np.float32))
    gaps, stride = np.diff(kept), run.meta["thinned_stride"]
    assert kept[-1] == steps and gaps.max() <= 2 * stride
    if layers == 200:  # else the first 100 steps alone are too much
        assert kept[:100].tolist() == list(range(1, 101))
    newest = kept[len(kept) * 2 // 3 :]
    assert newest.tolist() == list(range(newest[0], steps + 1))  # the newest are whole
    past = gaps[(kept[:-1] > 150) & (kept[1:] < steps // 2)]
    assert len(past) > 5 and past.min() >= stride / 2  # the past has one density


def test_scalars_are_thinned_last(tmp_path):
    with closing(bounded(tmp_path, MIB)) as writer:
        for step in range(1, 60_001):
            writer.row(step, STEP, row(step, 0))
            if step % 1000 == 0:
                writer.flush()
                assert (tmp_path / "run.sqlite").stat().st_size <= MIB
    run = open_run(tmp_path)
    assert run.meta["thinned"] is True and "thinned_stride" not in run.meta and run.meta["thinned_step_stride"] >= 2
    kept = run.frame("loss").index
    assert kept[:100].tolist() == list(range(1, 101)) and kept[-1] == 60_000 and len(kept) > 5000


def test_blobs_are_thinned_too(tmp_path):
    with closing(bounded(tmp_path, 4 * MIB)) as writer:
        for step in range(1, 1001):
            writer.row(step, STEP, row(step, 0))
            writer.blob(step, "spectrum", "a", np.full(4000, step, np.float32))
            if step % 10 == 0:
                writer.flush()
                assert (tmp_path / "run.sqlite").stat().st_size <= 4 * MIB
    run = open_run(tmp_path)
    kept = [step for step, _, array in run.blobs("spectrum") if (array == step).all()]
    assert kept[0] == 1 and kept[-1] == 1000 and len(kept) > 50
    assert run.frame("loss")[""].tolist() == list(range(1, 1001))


def test_a_thinned_record_is_continued(tmp_path):
    wide = Family("weights", tuple(("weight_rms", str(i)) for i in range(200)))
    values, bound = np.zeros(200, np.float32), 2 * MIB
    for begin in (0, 4000, 8000):
        with closing(bounded(tmp_path, bound, resume=True)) as writer:
            assert writer.offset == begin
            for step in range(1, 4001):
                writer.row(step, wide, values + begin + step)
                if step % 100 == 0:
                    writer.flush()
                    assert (tmp_path / "run.sqlite").stat().st_size <= bound
    frame = open_run(tmp_path).frame("weight_rms")
    assert frame.index[0] == 1 and frame.index[-1] == 12000
    assert (frame["0"] == frame.index).all()
    assert np.diff(frame.index).max() <= 2 * open_run(tmp_path).meta["thinned_stride"]
