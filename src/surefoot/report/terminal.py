"""A recorded run in the terminal: verdict first, then each finding with its evidence and its cure.

Every line fits the width, with one exception: code is never broken, because it is there to be pasted.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.text import Text

from surefoot.report import inspection, wording
from surefoot.report.record import Record
from surefoot.runs.schema import Evidence, Finding, Remedy

if TYPE_CHECKING:
    from surefoot.runs.reader import Run

STYLES = {
    "critical": "bold red",
    "failing": "bold red",
    "warning": "bold yellow",
    "info": "bold cyan",
    "healthy": "bold green",
}
Part = str | tuple[str, str]  # text, or text and style
BARS = "▁▂▃▄▅▆▇█"
# Wider lines are hard to read, whatever the terminal can hold.
MAX_WIDTH = 96
SPARK_WIDTH = 36
EVIDENCE_SHOWN = 4
# What a terminal that knows ASCII only is given in place of our own signs.
ASCII = str.maketrans({"·": "-", "…": "...", "→": "->", "×": "x", "−": "-", "≥": ">=", "≤": "<=", "—": "-", "–": "-"})


def render(run: Run | Record, console: Console | None = None, width: int | None = None) -> None:
    """Print a run's verdict, findings, remedies and the cost of watching it.

    Parameters
    ----------
    run
        A run opened with :func:`surefoot.open_run`, or the record already read from it; diagnosis and any family may
        be missing.
    console
        Where to print; standard output by default.
    width
        Columns to fill; by default those of the console, at most 96.
    """
    console = console or Console(highlight=False)
    width = min(console.width, MAX_WIDTH) if width is None else width
    page = _Page(console, width)
    record = run if isinstance(run, Record) else Record(run)
    _verdict(page, record)
    for root, consequences in wording.chains(record.findings):
        page.blank()
        _finding(page, root, consequences, record)
    page.blank()
    _closing(page, record)


class _Page:
    """Prints wrapped and indented lines; user text is never read as markup, and control characters are shown."""

    def __init__(self, console: Console, width: int) -> None:
        self.console = console
        self.width = max(width, 40)
        self.ascii = console.options.ascii_only

    def clean(self, text: str) -> str:
        text = "".join(repr(c)[1:-1] if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in text)
        return text.translate(ASCII).encode("ascii", "replace").decode() if self.ascii else text

    def line(self, *parts: Part, indent: int = 0, label: Part = "", column: int = 0) -> None:
        """One paragraph of texts or (text, style) pairs.

        It starts at ``indent``, or with a ``label`` at ``indent`` and the text at ``column``.
        """
        column = column if label else indent
        text, margin = self._text(parts), Text(" " * indent) + self._text([label])
        for wrapped in text.wrap(self.console, max(self.width - column, 20)):
            wrapped.rstrip()
            margin.pad_right(column - margin.cell_len)
            self._print(margin + wrapped)
            margin = Text()

    def _text(self, parts: Sequence[Part]) -> Text:
        text = Text()
        for part in parts:
            content, style = part if isinstance(part, tuple) else (part, "")
            text.append(self.clean(content), style=style)
        return text

    def _print(self, text: Text) -> None:
        self.console.print(text, soft_wrap=True, highlight=False)

    def code(self, source: str, indent: int) -> None:
        """Lines as they are, so that they can be copied."""
        for line in source.splitlines():
            text = Text(" " * indent + self.clean(line), style="dim" if line.startswith("#") else "")
            text.rstrip()
            self._print(text)

    def blank(self) -> None:
        self.console.print()


def _verdict(page: _Page, record: Record) -> None:
    facts = [record.script] if record.inspected else [record.script, wording.count(record.steps, "step")]
    if not record.inspected and (time := wording.duration(record)):
        facts[-1] += f" in {time}"
    word = record.verdict if record.judged else "no steps"
    page.line(" · ".join(facts), label=(word, STYLES.get(word, "bold")), column=9)
    page.line((f"{wording.ending(record)} · {wording.tally(record.findings)}", "dim"), indent=9)
    for line in wording.applied(record):
        page.line(("applied  ", "dim"), line, indent=9)
    if word == "no steps":
        page.line("No step was recorded, so there is nothing to judge.", indent=9)
    if told := inspection.facts(record):
        page.blank()
        column = max(len(label) for label, _ in told) + 2
        for label, text in told:
            page.line(text, label=(label, "dim"), column=column)
    else:
        _loss(page, record)


def _loss(page: _Page, record: Record) -> None:
    signal = record.signal("loss")
    if signal is None:
        return
    for where in signal.wheres:
        values = signal.values[:, signal.wheres.index(where)]
        shown = np.isfinite(values) | record.nonfinite(signal, where)
        values, steps = values[shown].astype(np.float64), signal.steps[shown]
        finite = np.flatnonzero(np.isfinite(values))
        if not finite.size:
            continue
        best = finite[values[finite].argmin()]
        label = f"loss {where}" if where else "loss"
        ends = f"{wording.number(values[0])} → {wording.number(values[-1])}"
        lowest = f", best {wording.number(values[best])} at step {steps[best]:,}"
        room = page.width - 9 - len(f"{label}    {ends}{lowest}")
        bars = "" if page.ascii or room < 8 else f"{sparkline(values, min(room, SPARK_WIDTH))}  "
        page.line((f"{label}  ", "dim"), f"{bars}{ends}", (lowest, "dim"), indent=9)


def sparkline(values: np.ndarray, width: int = SPARK_WIDTH) -> str:
    """A series as a row of bars, one a bucket; a bucket that holds a non-finite value is a ``×``.

    The scale is logarithmic where a positive series spans more than a factor of ten.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "×" * min(width, len(values))
    if finite.min() > 0 and finite.max() > 10 * finite.min():
        values = np.log(np.where(values > 0, values, np.nan))
        finite = np.log(finite)
    low, span = finite.min(), finite.max() - finite.min()
    bars = []
    for bucket in np.array_split(values, min(width, len(values))):
        if np.isfinite(bucket).all():
            height = (bucket.mean() - low) / span if span > 0 else 0.0
            bars.append(BARS[min(int(height * len(BARS)), len(BARS) - 1)])
        else:
            bars.append("×")
    return "".join(bars)


def _finding(page: _Page, finding: Finding, consequences: Sequence[Finding], record: Record) -> None:
    confidence = "" if finding.confidence is None else f"  confidence {finding.confidence:.2f}"
    page.line(*_name(finding), (confidence, "dim"), label=(str(finding.rank), "bold"), column=3)
    page.line((f"{wording.places(finding.where)} · {wording.since(finding, record.newest)}", "dim"), indent=3)
    page.line(wording.sentence(finding.cause), indent=3)
    _evidence(page, finding)
    if consequences:
        page.blank()
        page.line("what follows from it", indent=3)
    for consequence in consequences:
        began = "at the start" if record.inspected else f"since step {consequence.first_step:,}"
        place = f"  {wording.places(consequence.where)} · {began}"
        page.line(*_name(consequence), (place, "dim"), indent=5, label=(str(consequence.rank), "bold"), column=8)
        page.line(wording.sentence(consequence.cause), indent=8)
    _cures(page, finding.remedies)


def _name(finding: Finding) -> tuple[Part, Part]:
    return (finding.severity, STYLES[finding.severity]), (f"  {finding.id}", "bold")


def _evidence(page: _Page, finding: Finding) -> None:
    """One line a measurement; those of one signal against one threshold are told together."""
    groups: dict[tuple[str, str, str], list[Evidence]] = {}
    for evidence in finding.evidence:
        groups.setdefault((evidence.signal, str(evidence.threshold), evidence.source), []).append(evidence)
    for group in list(groups.values())[:EVIDENCE_SHOWN]:
        first = group[0]
        if len(group) == 1:
            where = f" in {first.where}" if first.where else ""
            said: tuple[Part, ...] = (
                f"{first.signal}{where} at step {first.step:,}: ",
                (wording.comparison(first), "bold"),
            )
        else:
            shown = group[:EVIDENCE_SHOWN]
            one_place, one_step = len({e.where for e in group}) == 1, len({e.step for e in group}) == 1
            values = [
                wording.number(e.value)
                + ("" if one_place else f" in {e.where or 'the whole run'}")
                + ("" if one_step else f" at step {e.step:,}")
                for e in shown
            ]
            where = f" in {first.where}" if one_place and first.where else ""
            when = f" at step {first.step:,}" if one_step else ""
            rest = f" and {len(group) - len(shown)} more" if len(group) > len(shown) else ""
            threshold = "" if math.isnan(first.threshold) else f"; threshold {wording.number(first.threshold)}"
            said = (f"{first.signal}{where}{when}: ", (", ".join(values), "bold"), f"{rest}{threshold}")
        source = f"  ({first.source})" if first.source else ""
        page.line(*said, (source, "dim"), indent=3, label="·", column=5)
    if len(groups) > EVIDENCE_SHOWN:
        page.line((f"and {len(groups) - EVIDENCE_SHOWN} more, see the report", "dim"), indent=5)


def _cures(page: _Page, remedies: Sequence[Remedy]) -> None:
    """The first remedy with its code; the others by name."""
    for i, remedy in enumerate(remedies):
        said: tuple[Part, ...] = ((remedy.name, "bold"), f": {remedy.why}")
        if i == 0:
            page.blank()
            page.line(*said, indent=3, label=("cure", "bold green"), column=9)
            page.code(remedy.how, indent=4)
            if remedy.apply:
                line = f"surefoot run --apply {remedy.apply} …"
                page.line(("or, with the script as it is:  ", "dim"), line, indent=4)
        else:
            apply = f"  (--apply {remedy.apply})" if remedy.apply else ""
            page.line(*said, (apply, "dim"), indent=3, label=("or", "green"), column=9)
    if len(remedies) > 1:
        page.line((f"{'its' if len(remedies) == 2 else 'their'} code is in the report", "dim"), indent=9)


def _closing(page: _Page, record: Record) -> None:
    notes = [str(event.data.get("text", "")) for event in record.events("note")]
    for note in dict.fromkeys(notes):
        page.line(note, label=("note", "dim"), column=10)
    if ignored := record.meta.get("ignore"):
        page.line(", ".join(map(str, ignored)), label=("ignored", "dim"), column=10)
    if parts := wording.cost(record):
        page.line(" · ".join(parts), label=("watching", "dim"), column=10)
    report = _folder(record.run.path) / "report.html"
    if report.exists():
        page.code(f"report    {_short(report)}", indent=0)


def _folder(path: Any) -> Path:
    path = Path(path)
    return path.parent if path.suffix == ".sqlite" else path


def _short(path: Path) -> str:
    """The path as seen from here where that is shorter."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
