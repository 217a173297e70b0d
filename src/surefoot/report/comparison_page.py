"""Two runs side by side on one HTML page: their curves over each other, then the tables."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from surefoot.plots import SERIES
from surefoot.report import wording
from surefoot.report.comparison import Comparison, Side, middle
from surefoot.report.comparison_terminal import apart, summary
from surefoot.report.downsample import thin
from surefoot.report.figures import Figure, axes, helps_log, mark, packed, plain
from surefoot.report.html import Canvas, document, put
from surefoot.report.record import Record

MAX_CURVES = 60  # figures; the table has all signals
POINTS = 2_000  # of a line
COLOURS = {"A": SERIES[0], "B": SERIES[1]}


def write(found: Comparison, path: str | Path) -> Path:
    """Write the page; it is replaced in one go."""
    return put(page(found), path)


def page(found: Comparison) -> str:
    """The whole page as a string."""
    canvas = Canvas()
    sides = {side.name: side for side in found.signals}
    loss = overlay(found, sides["loss"], height=340) if "loss" in sides else None
    sections = [
        (
            "loss",
            "Loss",
            _section("loss", "Loss", escape(wording.sentence(apart(found))), canvas.place(loss, "")) if loss else "",
        ),
        ("settings", "Settings", _settings(found)),
        ("findings", "Findings", _findings(found)),
        ("curves", "Signals", _curves(found, canvas)),
        ("numbers", "Numbers", _numbers(found)),
    ]
    header = _header(found)
    title = f"{Path(found.a.script).name}, {Path(found.b.script).name}"
    return document(title, header, sections, canvas, "from the records of the two runs")


def overlay(found: Comparison, side: Side, height: int = 230) -> Figure | None:
    """Both runs' curves of one signal: the median over places where it has several."""
    traces: list[Figure] = []
    shown: list[np.ndarray] = []
    steps: list[np.ndarray] = []
    for letter, record in (("A", found.a), ("B", found.b)):
        signal = record.signal(side.name)
        if signal is None:
            return None
        at, values = middle(signal)
        finite = np.isfinite(values)
        if not finite.any():
            continue
        x, y = thin(at[finite], values[finite], POINTS)
        shown.append(y)
        steps.append(at[finite][[0, -1]])
        traces.append(
            {
                "type": "scatter",
                "mode": "lines" if len(x) > 1 else "markers",
                "name": letter,
                "x": packed(x),
                "y": packed(y),
                "line": {"color": COLOURS[letter], "width": 1.6, "dash": "solid" if letter == "A" else "dash"},
                "hovertemplate": f"{letter}, step %{{x}}: %{{y:.4g}}<extra></extra>",
            }
        )
    if not traces:
        return None
    title = plain(wording.title(side.name))
    ends = np.array([min(s[0] for s in steps), max(s[1] for s in steps)])
    layout = axes(traces, ends, title, log=helps_log(*shown), height=height)
    large = side.name == "loss"
    layout |= {"margin": {"t": 24 if large else 10, "b": 40}, "showlegend": large}
    if side.first_difference is not None and large:
        mark(layout, side.first_difference, "var(--ink)", "they part", dash="dot")
    return {"data": traces, "layout": layout}


def _header(found: Comparison) -> str:
    lines = "".join(
        f'<div><dt style="color:{COLOURS[letter]}"><b>{letter}</b> ({"solid" if letter == "A" else "dashed"})</dt>'
        f'<dd class="wrap">{escape(record.verdict)} · {escape(_command(record))} · {record.steps:,} steps</dd></div>'
        for letter, record in (("A", found.a), ("B", found.b))
    )
    word, _, rest = summary(found).partition(":")
    return (
        '<header class="verdict none"><div class="head"><div class="bar"><span class="brand">surefoot</span></div>'
        f'<h1><span class="word">{escape(word)}</span></h1>'
        f'<p class="lead wrap">{escape(wording.sentence(rest.strip()))}</p>'
        f'<dl class="facts">{lines}</dl></div></header>'
    )


def _command(record: Record) -> str:
    return wording.command(record).removeprefix("surefoot run ")


def _section(name: str, title: str, text: str, body: str) -> str:
    lead = f"<p>{text}.</p>" if text else ""
    return f'<section id="{name}"><h2>{title}</h2>{lead}<div class="panel">{body}</div></section>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """A table whose last ``numbers`` columns are set to the right."""
    first = len(heads) - numbers
    head = "".join(f"<th{' class=n' if i >= first else ''}>{escape(text)}</th>" for i, text in enumerate(heads))
    kinds = ["n" if i >= first else "name" for i in range(len(heads))]
    body = ""
    for row in rows:
        cells = "".join(f'<td class="{kind}">{cell}</td>' for kind, cell in zip(kinds, row, strict=True))
        body += f"<tr>{cells}</tr>"
    return (
        f'<div class="scroll"><table class="evidence"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _settings(found: Comparison) -> str:
    if not found.settings:
        return ""
    rows = [[escape(name), escape(a), escape(b)] for name, a, b in found.settings]
    return _section("settings", "Set differently", "", table(("Setting", "A", "B"), rows))


def _findings(found: Comparison) -> str:
    if not found.findings:
        return ""
    rows = [
        [escape(id), *(f'<span class="dot {word}"></span> {word}' if word else "–" for word in (a, b))]
        for id, a, b in found.findings
    ]
    return _section("findings", "Findings", "", table(("Finding", "A", "B"), rows))


def _curves(found: Comparison, canvas: Canvas) -> str:
    others = [side for side in found.signals if side.name != "loss" and side.first_difference is not None]
    panels = []
    for side in others[:MAX_CURVES]:
        figure = overlay(found, side)
        if figure is not None:
            panels.append(f'<div class="panel">{canvas.place(figure, "")}</div>')
    if not panels:
        return ""
    text = "Signals that differ; the median over layers where a signal has one value a layer."
    return f'<section id="curves"><h2>Signals</h2><p>{text}</p><div class="pair">{"".join(panels)}</div></section>'


def _numbers(found: Comparison) -> str:
    rows = []
    for side in found.signals:
        if side.common:
            numbers = [*side.medians, side.ratio, *side.finals]
            first = "–" if side.first_difference is None else f"{side.first_difference:,}"
            rows.append([escape(side.name), *(wording.number(n) if n == n else "–" for n in numbers), first])
    heads = ("Signal", "Median A", "Median B", "B/A", "Final A", "Final B", "Differs at")
    text = "Medians over the steps that both runs recorded, and the values at the last of them"
    return _section("numbers", "Numbers", text, table(heads, rows, numbers=6)) if rows else ""
