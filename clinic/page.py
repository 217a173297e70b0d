"""The clinic as one HTML page: the measures, each condition, warnings before harm, confusions, and a row a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import figures
import tables
from cases import Case
from metric import final, limit
from runs import Outcome
from score import NOTHING, Patient, Score
from surefoot import __version__
from surefoot.report import wording
from surefoot.report.html import Canvas, document, put

if TYPE_CHECKING:
    from cure import Cure

Scores = Mapping[str, Score]
Cures = Mapping[str, "Cure"]


def write(scores: Scores, path: Path, cures: Cures | None = None) -> Path:
    """Write the page; it is replaced in one go.

    Parameters
    ----------
    scores : the part's name → its score
    path : the file to write
    cures : what came of the cures, by script; None where none was tried
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return put(page(scores, cures), path)


def page(scores: Scores, cures: Cures | None = None) -> str:
    """The whole page as a string."""
    canvas = Canvas()
    patients = [p for score in scores.values() for p in score.patients]
    sections = [
        ("measures", "Measures", _measures(scores, cures)),
        ("conditions", "Conditions", _conditions(scores, patients, canvas)),
        ("warnings", "Warnings", _warnings(patients, canvas)),
        ("faulty", "Faulty scripts", _faulty(scores, cures, canvas)),
        ("well", "Healthy scripts", _well(scores)),
        ("troubles", "Without a result", _troubles(scores)),
    ]
    return document("The clinic", _header(scores), sections, canvas, f"{__version__} from the runs in this folder")


def _header(scores: Scores) -> str:
    faulty = sum(len(score.patients) for score in scores.values())
    well = sum(len(score.healthy) + len(score.twins) for score in scores.values())
    named = sum(score.rank_one[0] for score in scores.values())
    alarmed = sum(score.alarmed[0] + score.twins_alarmed[0] for score in scores.values())
    tone = "none" if not faulty + well else "healthy" if named == faulty and not alarmed else "warning"
    lead = f"{named} of {faulty} faults are named at rank 1"
    lead += f"; {alarmed} of {wording.count(well, 'run')} of healthy scripts got a false alarm." if well else "."
    return (
        f'<header class="verdict {tone}"><div class="head"><div class="bar"><span class="brand">surefoot</span></div>'
        f'<h1><span class="word">The clinic</span></h1><p class="lead wrap">{escape(lead)}</p></div></header>'
    )


def _measures(scores: Scores, cures: Cures | None) -> str:
    columns = {name: dict(tables.facts(score)) for name, score in scores.items()}
    for name, score in scores.items():
        if cures is not None:
            tried = [cures[p.case.name] for p in score.patients if p.case.name in cures]
            columns[name]["cured by the first remedy"] = tables.share((sum(c.cured for c in tried), len(tried)))
    rows = [[row, *(column[row] for column in columns.values())] for row in next(iter(columns.values()), {})]
    return _section("measures", "Measures", "", _table(["", *columns], rows))


def _conditions(scores: Scores, patients: Sequence[Patient], canvas: Canvas) -> str:
    if not patients:
        return ""
    ids = sorted({id for score in scores.values() for id in score.by_id})
    rows = []
    for id in ids:
        cells = [f"<code>{escape(id)}</code>"]
        for score in scores.values():
            found, named, whole = score.by_id.get(id, (0, 0, 0))
            right, told = score.precision.get(id, (0, 0))
            cells += [f"{found} of {whole}", f"{named} of {whole}"] if whole else ["", ""]
            cells.append(f"{right} of {told}" if told else "")
        rows.append(cells)
    heads = [""] + [f"{word} ({name})" for name in scores for word in ("Found", "Rank 1", "Right where told")]
    body = _table(heads, rows, escaped=False)
    confusion = canvas.place(figures.confusion(patients), "What is wrong (rows), and what is named at rank 1 (columns)")
    text = "Found: at any rank. Right where told: of the scripts in which the id is told above info."
    return _section("conditions", "Conditions", text, body) + f'<div class="panel">{confusion}</div>'


def _warnings(patients: Sequence[Patient], canvas: Canvas) -> str:
    drawn = figures.leads(patients)
    if drawn is None:
        return ""
    text = (
        "The step at which a fault was told against the step at which its harm begins: the first at which the median "
        "of 11 losses leaves the band of three seeds of the repaired twin. Below the line the warning came first."
    )
    return _section("warnings", "Warnings and harm", text, canvas.place(drawn, ""))


def _faulty(scores: Scores, cures: Cures | None, canvas: Canvas) -> str:
    heads = ["Script", "Condition", "Rank 1", "Told", "Harm", "Others", "Its own number"]
    heads += ["Cure"] if cures is not None else []
    rows = []
    for name, score in scores.items():
        for p in sorted(score.patients, key=lambda p: (p.named, p.found, p.case.condition, p.case.name)):
            cells = [
                f"<b>{escape(p.case.name)}</b><br><span class=muted>{escape(name)}</span>",
                f"<code>{escape(p.case.condition)}</code>",
                _pill(p.first, "healthy" if p.named else "warning" if p.found else "critical"),
                "–" if p.warned is None else f"{p.warned:,}",
                "–" if p.harm.step is None else f"{p.harm.step:,}<br><span class=muted>{p.harm.by}</span>",
                _others(p),
                _number(p),
            ]
            if cures is not None:
                cells.append(_cure(cures.get(p.case.name)))
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
            rows.append(f'<tr><td colspan="{len(heads)}">{_details(p, canvas)}</td></tr>')
    if not rows:
        return ""
    head = "".join(f"<th>{text}</th>" for text in heads)
    body = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    text = "Those with a wrong rank 1 come first. Others: what else is told above info; struck out where it is wrong."
    return _section("faulty", "Faulty scripts", text, body)


def _others(patient: Patient) -> str:
    shown = []
    for finding in patient.outcome.serious[1:]:
        id = escape(finding["id"])
        shown.append(f"<s>{id}</s>" if finding["id"] in patient.strays else id)
    return "<br>".join(shown)


def _number(patient: Patient) -> str:
    sign = 1.0 if patient.case.better == "min" else -1.0
    came = f"{escape(patient.case.metric)} {wording.number(sign * final(patient.outcome.badness))}"
    if not patient.twins:
        return came
    bound = wording.number(sign * limit([twin.badness for twin in patient.twins]))
    note = "" if patient.harmed else " <span class=muted>(latent)</span>" if patient.case.latent else " <b>no worse</b>"
    return f"{came}{note}<br><span class=muted>bound {bound}</span>"


def _cure(cure: Cure | None) -> str:
    if cure is None:
        return "–"
    word = _pill("cured" if cure.cured else "not cured", "healthy" if cure.cured else "warning")
    return f"{word}<br>{escape(cure.remedy)}<br><span class=muted>{escape(cure.why_not)}</span>"


def _details(patient: Patient, canvas: Canvas) -> str:
    told = "".join(
        f"<li><b>{f['rank']} {escape(f['id'])}</b> ({f['severity']}, step {f['detected_step']:,}): "
        f"{escape(f['cause'])}</li>"
        for f in patient.outcome.findings
    )
    drawn = figures.loss(patient)
    picture = canvas.place(drawn, "Median of 11 losses, and the band of the twin's seeds") if drawn is not None else ""
    return (
        f"<details><summary>{escape(patient.case.about)}</summary><ul>{told or f'<li>{NOTHING}</li>'}</ul>{picture}"
        "</details>"
    )


def _well(scores: Scores) -> str:
    grouped: dict[tuple[str, str, str], list[tuple[Case, Outcome]]] = {}
    for name, score in scores.items():
        for _, case, outcome in (*score.healthy, *score.twins):
            grouped.setdefault((case.kind, case.name, name), []).append((case, outcome))
    rows = []
    for (kind, script, name), found in grouped.items():
        alarms = [f["id"] for _, outcome in found for f in outcome.serious]
        infos = dict.fromkeys(f["id"] for _, outcome in found for f in outcome.findings if f["severity"] == "info")
        case = found[0][0]
        values = [final(outcome.printed.values) for _, outcome in found]
        rows.append(
            (
                not alarms,
                [
                    f"<b>{escape(script)}</b><br><span class=muted>{kind}, {escape(name)}</span>",
                    escape(case.about),
                    "<br>".join(_pill(id, "critical") for id in dict.fromkeys(alarms)) or "none",
                    escape(", ".join(infos)),
                    f"{escape(case.metric)} {', '.join(wording.number(value) for value in values)}",
                ],
            )
        )
    rows.sort(key=lambda row: row[0])
    text = "Scripts that never had a fault, and the repaired twins of faulty ones, with the number each seed came to."
    heads = ["Script", "About", "False alarms", "Infos", "Its own number"]
    return _section("well", "Healthy scripts", text, _table(heads, [r for _, r in rows], escaped=False)) if rows else ""


def _troubles(scores: Scores) -> str:
    lines = [line for score in scores.values() for line in score.troubles]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return _section("troubles", "Without a result", "", f"<ul>{items}</ul>") if lines else ""


def _pill(text: str, tone: str) -> str:
    return f'<span class="{tone}"><span class="pill" style="white-space:nowrap">{escape(text)}</span></span>'


def _section(name: str, title: str, text: str, body: str) -> str:
    lead = f"<p>{text}</p>" if text else ""
    return f'<section id="{name}"><h2>{title}</h2>{lead}<div class="panel">{body}</div></section>'


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], escaped: bool = True) -> str:
    """A table; ``escaped`` if the cells are text, not HTML."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell) if escaped else cell}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
