"""Families without a section of their own: every signal of a record gets on the page, whatever it measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sample_run import Sample
from surefoot.report import families, html
from surefoot.report.record import Record
from surefoot.runs import Family, open_run

LAYERS = tuple(f"blocks.{i}" for i in range(40))
NEW = Family(
    "things_nobody_knows",
    (*(("decades", layer) for layer in LAYERS), *(("signed", layer) for layer in LAYERS), ("single", ""),
     ("few", "a<b>"), ("few", "c"), ("still", ""), ("never", "")),
)  # fmt: skip
USER = Family("user", (("validation_accuracy", ""),))


def record(folder: Path, steps: int = 60, broken: bool = False) -> Record:
    rng = np.random.default_rng(0)
    sample = Sample()
    for step in range(1, steps + 1):
        signed = rng.standard_normal(40)
        if broken and step > steps // 2:
            signed[3] = np.inf
        decades = 10 ** rng.uniform(-6, 0, 40)
        decades[5] = 0
        sample.add(step, NEW, decades, signed, step, step, -step, 7, np.nan)
        if step % 10 == 0:
            sample.add(step, USER, step / steps)
    return Record(open_run(sample.write(folder)))


def drawn(made: Record) -> tuple[str, list[tuple[str, dict]]]:
    figures: list[tuple[str, dict]] = []

    def place(figure: dict, caption: str) -> str:
        figures.append((caption, figure))
        return f"[{caption}]"

    return families.section(made, place), figures


def test_each_signal_is_drawn_by_its_shape(tmp_path: Path) -> None:
    body, figures = drawn(record(tmp_path / "run"))
    assert len(figures) == 5
    kinds = {caption: figure["data"][0]["type"] for caption, figure in figures}
    assert kinds == {"validation accuracy": "scatter", "decades": "heatmap", "signed": "heatmap", "single": "scatter",
                     "few": "scatter"}  # fmt: skip
    assert "10<sup>" in dict(figures)["decades"]["data"][0]["hovertemplate"]
    assert "10<sup>" not in dict(figures)["signed"]["data"][0]["hovertemplate"]
    assert "<dt>still</dt><dd>7</dd>" in body and "never" not in body
    assert body.index("Recorded by the script") < body.index("Things nobody knows")
    assert "open><summary>Recorded by the script" in body


def test_values_that_are_infinite_are_marked(tmp_path: Path) -> None:
    _, figures = drawn(record(tmp_path / "run", broken=True))
    signed = dict(figures)["signed"]
    assert len(signed["data"]) == 2 and "Red" in signed["note"]


def test_heat_maps_share_what_room_there_is(tmp_path: Path) -> None:
    layers = tuple(f"layers.{i}" for i in range(300))
    many = Family("many", tuple((f"signal_{k}", layer) for k in range(60) for layer in layers))
    sample, rng = Sample(), np.random.default_rng(0)
    for step in range(1, 301):
        sample.add(step, many, rng.standard_normal(len(many.columns)))
    made = Record(open_run(sample.write(tmp_path / "run")))
    page = html.page(made)
    assert page.count("data-figure=") == 60 and len(page) < 8_000_000


@pytest.mark.parametrize("name", ["loss", "dead_share"])
def test_what_has_a_section_is_not_shown_twice(tmp_path: Path, name: str) -> None:
    sample = Sample()
    family = Family("step", ((name, ""), ("other", "")))
    for step in range(1, 9):
        sample.add(step, family, step / 10, step)
    _, figures = drawn(Record(open_run(sample.write(tmp_path / "run"))))
    assert [caption for caption, _ in figures] == ["other"]
