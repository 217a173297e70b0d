"""A recorded run as one HTML file that works offline: verdict, findings, loss, gradient flow, layers, environment."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot import plots
from surefoot.report import cards, curvature, families, figures, heatmaps, inspection, tables, wording
from surefoot.report.figures import Figure
from surefoot.report.record import Record

if TYPE_CHECKING:
    from surefoot.runs.reader import Run

ASSETS = Path(__file__).parent / "assets"
# Nothing may be loaded from anywhere: the browser itself holds the page to it.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
    "form-action 'none'"
)
FLOW = (
    "RMS of each module's gradient before clipping, first layer at the top. Darker is smaller: a picture that fades "
    "towards the top is a gradient that vanishes on its way back."
)
RATIO = (
    "RMS of what the optimiser added in a step over the RMS of the weights. Near one in a thousand is usual; rows "
    "that stand apart learn much faster or slower than the rest."
)


def write(run: Run | Record, path: str | Path) -> Path:
    """Write the report of a run.

    Parameters
    ----------
    run
        A run opened with :func:`surefoot.open_run`, or the record already read from it; diagnosis and any family may
        be missing.
    path
        The file to write. It is replaced in one go: a reader sees the old page or the new one.

    Returns
    -------
    Path
        The file written.
    """
    return put(page(run), path)


def put(text: str, path: str | Path) -> Path:
    """Write a page in one go."""
    path = Path(path)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        scratch.write_text(text, encoding="utf-8")
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    return path


def page(run: Run | Record) -> str:
    """The whole page as a string."""
    record = run if isinstance(run, Record) else Record(run)
    canvas = Canvas()
    place = canvas.place
    flow = None if record.inspected else heatmaps.gradient_flow(record)  # a map of one column shows nothing
    sections = [
        ("findings", "Findings", cards.section(record, place)),
        ("start", "Start", inspection.section(record, place)),
        ("loss", "Loss", "" if record.inspected else _loss(record, place)),
        ("gradients", "Gradient flow", _map("gradients", "Gradient flow", FLOW, flow, place)),
        ("updates", "Updates", _map("updates", "Update over weight", RATIO, heatmaps.update_ratio(record), place)),
        ("units", "Units", "" if record.inspected else _units(record, place)),
        ("curvature", "Curvature", curvature.section(record, place)),
        ("signals", "Signals", families.section(record, place)),
        ("layers", "Layers", tables.layers(record)),
        ("environment", "Environment", tables.environment(record)),
        ("cost", "Cost", tables.cost(record)),
    ]
    title = f"{_word(record)}: {Path(record.script).name}"
    return document(title, _verdict(record), sections, canvas, f"{_version(record)} from the record in this folder")


class Canvas:
    """The figures of a page, in the order in which they are placed on it."""

    def __init__(self) -> None:
        self.drawn: list[Figure] = []

    def place(self, figure: Figure, caption: str) -> str:
        """Put a figure on the page: its place there as HTML."""
        self.drawn.append({"data": figure["data"], "layout": figure["layout"]})
        caption = ". ".join(text.rstrip(".") for text in (caption, figure.get("note", "")) if text)
        label = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        height = int(figure["layout"]["height"])
        chart = f'<div class="chart" data-figure="{len(self.drawn) - 1}" style="height:{height}px"></div>'
        return f'<figure class="figure">{label}{chart}</figure>'


def document(title: str, header: str, sections: Sequence[tuple[str, str, str]], canvas: Canvas, origin: str) -> str:
    """A whole page of (id, title, HTML) sections; empty ones are left out. ``header`` is HTML, the rest is text."""
    shown = [(name, heading, body) for name, heading, body in sections if body]
    links = "".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in shown)
    body = "".join(body for _, _, body in shown)
    template = plots.template({role: f"var(--{role})" for role in plots.LIGHT})
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · surefoot</title><style>{_style()}</style></head>"
        f"<body>{header}<nav><div>{links}</div></nav><main>"
        f"<noscript><p>The figures need JavaScript; everything else is here without it.</p></noscript>{body}</main>"
        f"<footer>Written by surefoot {escape(origin)}.</footer>"
        f'<script type="application/json" id="figures">{_json(canvas.drawn)}</script>'
        f'<script type="application/json" id="template">{_json(template)}</script>'
        + (f"<script>{plots.javascript()}</script>" if canvas.drawn else "")
        + f"<script>{(ASSETS / 'page.js').read_text(encoding='utf-8')}</script></body></html>\n"
    )


def _json(value: Any) -> str:
    """Strict JSON that cannot end the script element it stands in."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _style() -> str:
    def variables(colours: Mapping[str, str]) -> str:
        return "".join(f"--{role}:{colour};" for role, colour in colours.items())

    return (
        f":root{{{variables(plots.LIGHT)}--sans:{plots.SANS};--mono:{plots.MONO}}}"
        # Paper is white whatever the screen is.
        f"@media screen and (prefers-color-scheme:dark){{:root:not(.printing){{{variables(plots.DARK)}}}}}"
        + (ASSETS / "page.css").read_text(encoding="utf-8")
    )


def _version(record: Record) -> str:
    return str((record.meta.get("versions") or {}).get("surefoot", ""))


def _word(record: Record) -> str:
    return record.verdict if record.judged else "no steps"


def _verdict(record: Record) -> str:
    word = _word(record)
    facts = [("Steps", "" if record.inspected else f"{record.steps:,}")]
    facts.append(("Time of the steps", "" if record.inspected else wording.duration(record)))
    facts += [("Found", wording.tally(record.findings)), ("Loss", _loss_fact(record))]
    facts.append(("End", wording.ending(record).removeprefix("ended ")))
    facts.append(("Applied", "; ".join(wording.applied(record))))
    items = "".join(f'<div><dt>{name}</dt><dd class="wrap">{escape(text)}</dd></div>' for name, text in facts if text)
    started = str(record.meta.get("started") or "").replace("T", " ")[:16]
    return (
        f'<header class="verdict {word if word != "no steps" else "none"}"><div class="head">'
        f'<div class="bar"><span class="brand">surefoot</span><span>{escape(started)}</span></div>'
        f'<h1><span class="word">{word}</span> <span class="script">{escape(record.script)}</span></h1>'
        f'<p class="lead wrap">{_lead(record)}</p><dl class="facts">{items}</dl></div></header>'
    )


def _lead(record: Record) -> str:
    """The one sentence to read."""
    serious = [finding for finding in record.findings if finding.severity != "info"]
    if not record.judged:
        return "No step was recorded, so there is nothing to judge."
    if not serious and record.inspected:
        return "Nothing that surefoot knows to look for is wrong with this start."
    if not serious:
        return "Nothing that surefoot knows to look for is wrong with this run."
    first = serious[0]
    link = f'<a href="#finding-{first.rank}">{escape(first.id)}</a>'
    place = f" in {escape(wording.places(first.where))}" if any(first.where) else ""
    since = "" if record.inspected else f", since step {first.first_step:,}"
    return f"Most probable root cause: {link}{place}{since}."


def _loss_fact(record: Record) -> str:
    """First and newest loss, where the run has one loss."""
    signal = record.signal("loss")
    if signal is None or len(signal.wheres) != 1:
        return ""
    values = signal.values[:, 0]
    measured = values[np.isfinite(values) | record.nonfinite(signal, signal.wheres[0])]
    if not measured.size:
        return ""
    best = float(np.min(measured, where=np.isfinite(measured), initial=math.inf))
    if record.inspected:
        return wording.number(measured[0])
    text = f"{wording.number(measured[0])} → {wording.number(measured[-1])}"
    told = not math.isfinite(best) or best == measured[-1]
    return text if told else f"{text}, best {wording.number(best)}"


def _loss(record: Record, place: cards.Place) -> str:
    figure = figures.loss(record)
    pair = [place(small, "") for name in ("learning_rate", "step_time") if (small := figures.small(record, name))]
    if figure is None and not pair:
        return ""
    marked = "<p>A line marks the step at which a finding was detected, with its rank.</p>" if record.findings else ""
    main = f"{marked}<div class=panel>{place(figure, '')}</div>" if figure is not None else ""
    rest = "".join(f'<div class="panel">{item}</div>' for item in pair)
    return f'<section id="loss"><h2>Loss</h2>{main}<p></p><div class="pair">{rest}</div></section>'


def _map(name: str, title: str, text: str, figure: Figure | None, place: cards.Place) -> str:
    if figure is None:
        return ""
    return f'<section id="{name}"><h2>{title}</h2><p>{text}</p><div class="panel">{place(figure, "")}</div></section>'


def _units(record: Record, place: cards.Place) -> str:
    titles = {
        "dead_share": "Share of each layer's units that give 0 for every input",
        "saturated_share": "Share of each layer's outputs in the flat part of its activation",
    }
    panels = [
        f'<div class="panel">{place(figure, title)}</div>'
        for signal, title in titles.items()
        if (figure := heatmaps.share(record, signal)) is not None
    ]
    return f'<section id="units"><h2>Units</h2>{"<p></p>".join(panels)}</section>' if panels else ""
