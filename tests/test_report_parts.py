"""The parts of the report: words and numbers, fewer points, the record as arrays."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.report import terminal, wording
from surefoot.report.downsample import bins, edges, pool, thin
from surefoot.report.record import Record
from surefoot.runs.schema import Evidence, Family, Finding

# -- words and numbers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (1200.0, "1,200"),
        (3.14159, "3.14"),
        (0.01234, "0.0123"),
        (3e-12, "3e-12"),
        (1.234e-7, "1.23e-7"),
        (3.4e38, "3.4e38"),
        (12345.6, "12,346"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (-2.5, "-2.5"),
    ],
)
def test_number(value: float, expected: str) -> None:
    assert wording.number(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.413, "0.41 s"), (7.06, "7.1 s"), (59.6, "1 min 00 s"), (192, "3 min 12 s"), (7500, "2 h 05 min")],
)
def test_seconds(seconds: float, expected: str) -> None:
    assert wording.seconds(seconds) == expected


def test_comparison_shows_a_difference_even_if_small() -> None:
    evidence = Evidence("loss", "", 1, 2.6141, 2.614, "")
    assert wording.comparison(evidence) == "2.6141 > 2.614"


def finding(id: str, rank: int, because_of: str | None = None) -> Finding:
    return Finding(id, "warning", rank, 1, 1, 1, (), "", because_of, (), ())


def test_chains_follow_causes_to_the_root_and_survive_circles() -> None:
    a, b, c = finding("a", 1), finding("b", 2, "a"), finding("c", 3, "b")
    x, y, lost = finding("x", 4, "y"), finding("y", 5, "x"), finding("z", 6, "not there")
    assert wording.chains([a, b, c, x, y, lost]) == [(a, [b, c]), (x, []), (y, []), (lost, [])]


# -- fewer points


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=400),
    st.integers(4, 60),
)
def test_thin_keeps_extremes_ends_and_limit(values: list[float], limit: int) -> None:
    y = np.array(values, dtype=np.float32)
    x = np.arange(len(y))
    thin_x, thin_y = thin(x, y, limit)
    assert len(thin_x) <= max(limit, 4)
    assert thin_y.min() == y.min() and thin_y.max() == y.max()
    assert thin_x[0] == 0 and thin_x[-1] == len(y) - 1
    assert (np.diff(thin_x) > 0).all()
    assert (y[thin_x] == thin_y).all()


def test_pool_is_the_mean_of_what_is_finite() -> None:
    values = np.array([1, 3, np.nan, 5, np.nan, np.nan, np.inf, np.nan], dtype=np.float32)
    np.testing.assert_array_equal(pool(values, np.array([0, 2, 4, 6, 8]), axis=0), [2, 5, np.nan, np.inf])


def test_bins_and_edges() -> None:
    assert bins(10, 4).tolist() == [0, 2, 5, 8, 10]
    assert bins(3, 200).tolist() == [0, 1, 2, 3]
    assert edges(np.array([1.0, 2.0, 4.0])).tolist() == [0.5, 1.5, 3.0, 4.5]


# -- reading the record


def fake(rows: list[tuple[int, Family, list[float]]], events: list[SimpleNamespace] | None = None) -> SimpleNamespace:
    return SimpleNamespace(
        path=Path("run"), meta={}, steps=9, findings=(), diagnosis={"exit": {"code": 0}},
        rows=lambda: iter([(step, family, np.array(values, dtype=np.float32)) for step, family, values in rows]),
        events=lambda: events or [],
    )  # fmt: skip


def test_a_signal_whose_modules_change_is_one_signal() -> None:
    before = Family("gradients", (("gradient_rms", "a"), ("gradient_rms", "old")))
    after = Family("gradients", (("gradient_rms", "new"), ("gradient_rms", "a"), ("gradient_norm", "")))
    record = Record(fake([(1, before, [1, 2]), (2, after, [3, 4, 5])]))
    signal = record.signal("gradient_rms")
    assert signal is not None
    assert signal.wheres == ("new", "a", "old")
    np.testing.assert_array_equal(signal.values, [[np.nan, 1, 2], [3, 4, np.nan]])
    assert signal.last("old") == 2 and np.isnan(signal.last("nowhere"))
    assert record.signal("loss") is None


def test_nan_is_a_value_only_after_a_nonfinite_event_in_a_dense_column() -> None:
    family = Family("step", (("loss", ""), ("constant_loss", "")))
    rows = [(1, family, [1, 2]), (2, family, [1, np.nan]), (3, family, [np.inf, np.nan]), (4, family, [np.nan, 2])]
    plain_run = Record(fake(rows))  # type: ignore[arg-type]
    told = Record(fake(rows, [SimpleNamespace(step=3, kind="nonfinite", data={})]))  # type: ignore[arg-type]
    for record, name, expected in (
        (plain_run, "loss", [False, False, True, False]),
        (told, "loss", [False, False, True, True]),
    ):
        signal = record.signal(name)
        assert signal is not None
        assert record.nonfinite(signal, "").tolist() == expected
    sparse = told.signal("constant_loss")
    assert sparse is not None and not told.nonfinite(sparse, "").any()


# -- the loss as a row of bars


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([1, 1, 1], "▁▁▁"),
        ([1, np.nan, 2, np.inf], "▁×█×"),
        ([np.nan, np.nan], "××"),
        ([1, 10, 100, 1000], "▁▃▆█"),
    ],
)
def test_sparkline(values: list[float], expected: str) -> None:
    assert terminal.sparkline(np.array(values, dtype=float)) == expected
