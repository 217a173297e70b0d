"""The report of a recorded run, in the terminal and as a page, on every sample run."""

from __future__ import annotations

import io
import json
import re
import textwrap
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from sample_run import NASTY, SAMPLES, Sample, failing
from surefoot.report import html, terminal, wording
from surefoot.report.figures import plain
from surefoot.report.record import Record
from surefoot.runs import Run, open_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    home = tmp_path_factory.mktemp("runs")
    return {name: open_run(make().write(home / name)) for name, make in SAMPLES.items()}


@pytest.fixture(scope="module")
def pages(runs: dict[str, Run]) -> dict[str, Path]:
    return {name: html.write(run, Path(run.path) / "report.html") for name, run in runs.items()}


def shown(run: Run, width: int = 80, **options: object) -> str:
    console = Console(file=io.StringIO(), width=width, **options)  # type: ignore[arg-type]
    terminal.render(run, console, width)
    return console.file.getvalue()  # type: ignore[attr-defined]


# -- terminal


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("width", [60, 80])
def test_terminal_keeps_to_its_width(runs: dict[str, Run], name: str, width: int) -> None:
    lines = shown(runs[name], width).splitlines()
    # Code is never broken, and the path neither: they are there to be copied.
    remedies = [remedy for finding in Record(runs[name]).findings for remedy in finding.remedies]
    whole = {line.strip() for remedy in remedies for line in remedy.how.splitlines()}
    lines = [line for line in lines if line.strip() not in whole and not line.startswith("report ")]
    assert [line for line in lines if cell_len(line) > width] == []
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in "".join(lines)


def test_terminal_tells_verdict_cause_consequences_and_cure_in_this_order(runs: dict[str, Run]) -> None:
    text = shown(runs["failing"])
    assert text.startswith("failing  examples/char_gpt.py · 400 steps in 47 s\n")
    told = [
        "1  critical  learning-rate-too-high",
        "whole run · since step 40, detected at 46, to the end",
        "· update_norm at step 40: 0.9 > 0.31",
        "what follows from it",
        "2  critical  divergence",
        "3  warning  dead-units  blocks.0.mlp.up … blocks.5.mlp.up (6 modules)",
        "cure  lower learning rate:",
        "watching  1.4 % of step time (budget 2 %)",
    ]
    places = [text.index(part) for part in told]
    assert places == sorted(places)


def test_code_in_the_terminal_can_be_pasted(runs: dict[str, Run]) -> None:
    remedy = runs["failing"].findings[0].remedies[0]
    text = shown(runs["failing"])
    assert textwrap.indent(remedy.how, " " * 4) in text


def test_terminal_names_the_report_once_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = open_run(failing().write(tmp_path / "run"))
    assert "report    " not in shown(run)
    html.write(run, tmp_path / "run" / "report.html")
    assert shown(run).endswith("report    run/report.html\n")


def test_a_killed_run_says_so_and_is_judged_all_the_same(runs: dict[str, Run]) -> None:
    text = shown(runs["killed"])
    assert " ".join(wording.KILLED.split()) in " ".join(text.split())
    assert "watching" not in text


def test_an_empty_record_is_not_called_healthy(runs: dict[str, Run]) -> None:
    text = shown(runs["empty"])
    assert text.startswith("no steps examples/char_gpt.py")
    assert "FileNotFoundError" in text and "healthy" not in text


def test_users_text_is_neither_markup_nor_terminal_control(runs: dict[str, Run]) -> None:
    text = shown(runs["nasty"], 200, force_terminal=True, color_system=None)
    assert "[red]is[/red] wrong \\x1b[31m" in text
    assert "\x1b" not in text


def test_terminal_without_unicode(runs: dict[str, Run]) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    for run in runs.values():
        terminal.render(run, Console(file=file, width=80), 80)
    file.flush()


# -- the page


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def named(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for found, attributes in self.found if found == tag)


@pytest.mark.parametrize("name", SAMPLES)
def test_page_is_one_small_file_that_loads_nothing(pages: dict[str, Path], name: str) -> None:
    text = pages[name].read_text(encoding="utf-8")
    assert pages[name].stat().st_size <= 8_000_000
    elements = Elements(text)
    for tag, attributes in elements.found:
        assert "src" not in attributes, tag
        assert tag not in ("link", "img", "iframe", "base", "form")
        assert tag != "a" or str(attributes["href"]).startswith("#")
        assert not any(key.startswith("on") for key in attributes)
    for style in re.findall(r"<style>(.*?)</style>", text, re.DOTALL):
        assert "@import" not in style and "url(" not in style
    targets = {attributes["id"] for _, attributes in elements.found if "id" in attributes}
    assert {str(a["href"])[1:] for a in elements.named("a")} <= targets
    assert "default-src 'none'" in text


def test_users_text_is_escaped(pages: dict[str, Path]) -> None:
    text = pages["nasty"].read_text(encoding="utf-8")
    assert NASTY not in text and "<script>window.hacked" not in text
    assert len(list(Elements(text).named("script"))) == 4
    assert plain("<a href='x'>&") == "&lt;a href='x'&gt;&amp;"


def test_page_leaves_out_what_was_not_recorded(pages: dict[str, Path]) -> None:
    def sections(name: str) -> list[str | None]:
        return [attributes["id"] for attributes in Elements(pages[name].read_text()).named("section")]

    assert sections("empty") == ["environment", "cost"]
    every = ["findings", "loss", "gradients", "updates", "units", "signals", "layers", "environment", "cost"]
    assert sections("failing") == every
    assert "findings" not in sections("gan")
    assert pages["empty"].stat().st_size < 100_000  # no figure, no plotly


def figures_of(page: Path) -> list[dict]:
    match = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page.read_text(), re.DOTALL)
    assert match is not None
    return json.loads(match[1], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_heat_maps_and_series_are_downsampled(pages: dict[str, Path]) -> None:
    traces = [trace for figure in figures_of(pages["large"]) for trace in figure["data"]]
    shapes = [tuple(map(int, trace["z"]["shape"].split(","))) for trace in traces if trace["type"] == "heatmap"]
    assert shapes and all(rows <= 200 and columns <= 300 for rows, columns in shapes)
    points = [len(trace["y"]["bdata"]) * 3 / 4 / 4 for trace in traces if isinstance(trace.get("y"), dict)]
    assert points and max(points) <= 2001


def test_writing_replaces_the_page_in_one_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: dict[str, Run]
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr("surefoot.report.html.os.replace", lambda *_: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(OSError, match="no"):
        html.write(runs["empty"], path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_with_any_family_missing_renders(tmp_path: Path) -> None:
    whole = failing()
    for missing in {family.name for _, family, _ in whole.rows}:
        rows = [row for row in whole.rows if row[1].name != missing]
        sample = Sample(rows=rows, events=[], findings=whole.findings)
        run = open_run(sample.write(tmp_path / missing))
        assert shown(run)
        html.write(run, tmp_path / missing / "report.html")
