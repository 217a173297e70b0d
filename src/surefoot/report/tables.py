"""The tables of the page: every layer with its newest numbers, the environment, what watching cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from surefoot.report import heatmaps, wording
from surefoot.report.cards import code
from surefoot.report.record import Record, Signal

MAX_LAYERS = 1_000
LABELS = {"cpus": "CPU cores", "pid": "Process", "world_size": "Processes in all"}
META_SHOWN = ("schema", "script", "argv", "versions", "machine", "environment", "budget", "inspected", "options")


def layers(record: Record) -> str:
    """One row a module, in order of depth, with the newest value of each signal; sortable."""
    signals: list[tuple[str, Signal | None]] = [
        ("Gradient RMS", record.signal("gradient_rms")),
        ("Weight RMS", record.signal("weight_rms")),
        ("Update RMS", record.signal("update_rms")),
        ("Update / weight", heatmaps.ratios(record)),
        ("Dead", record.signal("dead_share")),
        ("Saturated", record.signal("saturated_share")),
    ]
    described = {str(module["name"]): module for module in record.modules}
    names = list(described) or list(next((s.wheres for _, s in signals if s is not None), ()))
    if not names:
        return ""
    columns = []
    for label, signal in signals:
        values = [signal.last(name) for name in names] if signal is not None else []
        if any(not math.isnan(value) for value in values):
            columns.append((label, values))
    heads = [_head("Depth"), _head("Module", text=True)]
    if described:
        heads += [_head("Type", text=True), _head("Parameters")]
    heads += [_head(label) for label, _ in columns]
    rows = []
    marks = _marks(record)
    for i, name in enumerate(names[:MAX_LAYERS]):
        label = f"{escape(name)}{marks.get(name, '')}"
        cells = [_cell(i + 1, str(i + 1)), f'<td class="name" data-v="{escape(name)}">{label}</td>']
        if described:
            kind = escape(str(described[name].get("type", "")))
            parameters = described[name].get("parameters")
            cells.append(f'<td data-v="{kind}">{kind}</td>')
            cells.append(_cell(parameters, "" if parameters is None else f"{int(parameters):,}"))
        for label, values in columns:
            share = label in ("Dead", "Saturated")
            cells.append(_cell(values[i], _share(values[i]) if share else wording.number(values[i])))
        rows.append(f"<tr>{''.join(cells)}</tr>")
    cut = ""
    if len(names) > MAX_LAYERS:
        cut = f"<p>The first {MAX_LAYERS:,} of {len(names):,} modules; the record has all of them.</p>"
    return (
        '<section id="layers"><h2>Layers</h2><p>The newest value of each signal, first layer first. '
        "A column's title sorts by it; a dot leads to the finding that names the module.</p>"
        f'<div class="panel"><div class="scroll tall"><table class="layers"><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{cut}</div></section>"
    )


def _head(label: str, *, text: bool = False) -> str:
    return f'<th{" data-text=1" if text else " class=n"}><button type="button">{label}</button></th>'


def _cell(value: Any, shown: str) -> str:
    known = value is not None and not (isinstance(value, float) and math.isnan(value))
    return f'<td class="n" data-v="{_sortable(value)}">{shown}</td>' if known else '<td class="n" data-v="">–</td>'


def _sortable(value: float) -> str:
    # "Infinity" is how JavaScript's Number() spells it.
    return ("Infinity" if value > 0 else "-Infinity") if math.isinf(value) else f"{value:.7g}"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %" if math.isfinite(value) else wording.number(value)


def _marks(record: Record) -> dict[str, str]:
    """For each module the findings that name it, as coloured dots that lead there."""
    marks: dict[str, str] = {}
    for finding in record.findings:
        label = escape(f"{finding.rank} {finding.id}")
        target = f'href="#finding-{finding.rank}" title="{label}" aria-label="{label}"'
        dot = f'<a class="dot {finding.severity}" {target}></a>'
        for where in finding.where:
            marks[where] = marks.get(where, "") + dot
    return marks


def environment(record: Record) -> str:
    """Command line, versions, machine, optimisers and whatever else the run noted about itself."""
    meta = record.meta
    pairs: list[tuple[str, str]] = [("Run", str(record.run.path))]
    pairs += [(_label(key), _value(value)) for key, value in _known(meta) if key not in META_SHOWN]
    pairs += [(_label(key), _value(value)) for key, value in _known(meta.get("machine"))]
    pairs += [(key, _value(value)) for key, value in (*_known(meta.get("versions")), *_known(meta.get("environment")))]
    optimizers = record.events("optimizers")
    for optimizer in optimizers[-1].data.get("optimizers", ()) if optimizers else ():
        name = f"Optimizer {optimizer.get('name') or ''}".strip()
        settings = ", ".join(f"{key}={_value(value)}" for key, value in (optimizer.get("defaults") or {}).items())
        pairs.append((name, f"{optimizer.get('type', '')}({settings})"))
    return (
        '<section id="environment"><h2>Environment</h2><div class="panel">'
        f"{code(wording.command(record))}<p></p>{_pairs(pairs)}</div></section>"
    )


def _known(items: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in (items or {}).items() if value not in (None, "")]


def _label(key: str) -> str:
    return LABELS.get(key) or key.replace("_", " ").capitalize()


def _value(value: Any) -> str:
    if isinstance(value, float):
        return wording.number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_value, value))})"
    return "–" if value is None else str(value)


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    items = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in pairs)
    return f'<dl class="pairs">{items}</dl>'


def cost(record: Record) -> str:
    """The overhead block of the diagnosis and the notes that surefoot left about its own work."""
    overhead = record.diagnosis.get("overhead") or {}
    notes = list(dict.fromkeys(str(event.data.get("text", "")) for event in record.events("note")))
    if not overhead and not notes:
        return ""
    parts = []
    steady, budget = overhead.get("steady"), overhead.get("budget")
    if steady is not None and not record.inspected:
        text = f"{100 * float(steady):.2g} % of the time of the steps"
        if budget:
            width = min(float(steady) / float(budget), 1.0)
            tone = "healthy" if float(steady) <= float(budget) else "warning"
            text += f", of a budget of {100 * float(budget):g} %"
            parts.append(f'<div class="gauge {tone}"><i style="width:{100 * width:.0f}%"></i></div>')
        parts.insert(0, f"<p>{text}</p>")
    names = {"startup_s": "Start-up", "credit_s": "First looks (opening credit)", "closing_s": "Closing"}
    known = [(key, name) for key, name in names.items() if overhead.get(key) is not None]
    pairs = [(name, wording.seconds(float(overhead[key]))) for key, name in known]
    for means, number in (overhead.get("looks") or {}).items():
        pairs.append((f"Looks {wording.MEANS.get(means, means)}", f"{int(number):,}"))
    parts.append(_pairs(pairs))
    if notes:
        parts.append("<h4>Notes</h4>" + "".join(f'<p class="wrap">{escape(note)}</p>' for note in notes))
    return f'<section id="cost"><h2>What watching cost</h2><div class="panel">{"".join(parts)}</div></section>'
