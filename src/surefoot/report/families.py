"""Every family that has no section of its own on the page: one figure a signal, whatever it measures.

Nothing here knows a family. A signal of few places is lines, one of many a heat map; what never changes is a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape

import numpy as np

from surefoot.plots import SERIES
from surefoot.report import heatmaps, wording
from surefoot.report.figures import MAX_TRACES, Figure, axes, helps_log, line, single_legend
from surefoot.report.record import Record, Signal
from surefoot.runs.signals import SIGNALS

Place = Callable[[Figure, str], str]

# Shown elsewhere on the page.
ELSEWHERE = frozenset(
    ("loss", "learning_rate", "step_time", "gradient_rms", "gradient_nonfinite", "weight_rms", "update_rms",
     "update_ratio", "dead_share", "saturated_share")
)  # fmt: skip
OWN = "user"  # the family of surefoot.log: asked for by name, so it comes first and unfolded
MAX_FIGURES = 90
POINTS = 600  # of all lines of a figure together
# All heat maps of this section together, as they stand in the page; each is twice as wide as high.
MAP_BYTES, BYTES_A_CELL = 1_000_000, 8  # a float32 in base64, and a mask over some of the maps
MIN_COLUMNS, MAX_COLUMNS = 36, 120
MAX_HEIGHT = 320


def section(record: Record, place: Place) -> str:
    """All families as folded lists of figures."""
    families: dict[str, dict[str, None]] = {}
    for family in record.run.families:
        names = families.setdefault(family.name, {})
        names.update((signal, None) for signal, _ in family.columns if signal not in ELSEWHERE)
    order = {signal.family: at for at, signal in enumerate(reversed(SIGNALS.values()))}
    parts, left = [], MAX_FIGURES
    columns = _columns(record, families)
    for name in sorted(families, key=lambda name: (name != OWN, -order.get(name, -1), name)):
        body, drawn = _family(record, families[name], place, left, columns)
        left -= drawn
        if body:
            title = "Recorded by the script" if name == OWN else name.replace("_", " ").capitalize()
            opened = " open" if name == OWN else ""
            parts.append(f"<details class=family{opened}><summary>{escape(title)}</summary>{body}</details>")
    if not parts:
        return ""
    cut = f"<p>The first {MAX_FIGURES} figures; surefoot export writes all signals.</p>" if left <= 0 else ""
    text = "Every other signal of the record, family by family; surefoot signals tells what each is."
    return f'<section id="signals"><h2>Signals</h2><p>{text}</p>{"".join(parts)}{cut}</section>'


def _columns(record: Record, families: Mapping[str, Iterable[str]]) -> int:
    """How many columns a heat map may have, so that all of them together fit the page."""
    signals = [record.signal(name) for names in families.values() for name in names]
    maps = sum(signal is not None and len(signal.wheres) > MAX_TRACES for signal in signals)
    cells = MAP_BYTES / (BYTES_A_CELL * max(min(maps, MAX_FIGURES), 1))
    return int(min(max((2 * cells) ** 0.5, MIN_COLUMNS), MAX_COLUMNS))


def _family(record: Record, names: Iterable[str], place: Place, left: int, columns: int) -> tuple[str, int]:
    """The figures of a family, at most ``left``, then its constants; and how many figures there are."""
    figures: list[str] = []
    constants: list[tuple[str, str]] = []
    signals = [signal for name in names if (signal := record.signal(name)) is not None]
    # Lines first: a row of figures is as high as its highest.
    for signal in sorted(signals, key=lambda signal: len(signal.wheres) > MAX_TRACES):
        name, kept = signal.name, heatmaps.present(signal)
        if kept is None:
            continue
        finite = kept.values[np.isfinite(kept.values)]
        if finite.size and finite.min() == finite.max() and not np.isinf(kept.values).any():
            constants.append((wording.title(name), wording.number(finite[0])))
        elif len(figures) < left:
            figures.append(place(*_figure(record, kept, columns)))
    panels = "".join(f'<div class="panel">{figure}</div>' for figure in figures)
    rows = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in constants)
    body = f'<div class="pair">{panels}</div>' if panels else ""
    if rows:
        body += f'<p class="muted">The same throughout:</p><dl class="pairs">{rows}</dl>'
    return body, len(figures)


def _figure(record: Record, signal: Signal, columns: int) -> tuple[Figure, str]:
    """A figure and its caption."""
    title = wording.title(signal.name)
    if len(signal.wheres) <= MAX_TRACES:
        return _lines(record, signal), title
    values = signal.values
    if values[np.isfinite(values)].min(initial=0.0) >= 0 and helps_log(values[values > 0], span=100.0):
        drawn = heatmaps.logarithmic(signal, title, columns // 2, columns)
    else:
        drawn = None
    if drawn is None:
        drawn = heatmaps.linear(signal, columns // 2, columns)
    drawn["layout"]["height"] = min(drawn["layout"]["height"], MAX_HEIGHT)
    return drawn, title


def _lines(record: Record, signal: Signal) -> Figure:
    traces: list[Figure] = []
    for i, where in enumerate(signal.wheres):
        style = {"line": {"color": SERIES[i % len(SERIES)], "width": 1.3}}
        traces += line(record, signal, where, POINTS // len(signal.wheres), **style)
    single_legend(traces)
    layout = axes(traces, signal.steps, "", log=helps_log(signal.values, span=1e3), height=200)
    layout["margin"] = {"t": 10, "b": 36}
    if layout["showlegend"]:
        layout |= {"height": 230, "legend": {"y": -0.36}, "margin": {"t": 10, "b": 66}}
    return {"data": traces, "layout": layout}
