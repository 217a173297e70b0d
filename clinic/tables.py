"""The score in the terminal: the tuned part beside the held-out part, then what to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cases import Case
from metric import final, limit
from runs import Outcome
from score import NOTHING, Patient, Score
from surefoot.report.wording import number

Scores = Mapping[str, Score]  # the part's name → its score


def show(scores: Scores, console: Console) -> None:
    """Print all tables."""
    console.print(summary(scores))
    console.print(by_id(scores))
    if any(score.patients for score in scores.values()):
        console.print(confusion(scores))
    for name, score in scores.items():
        for title, lines in attention(score).items():
            if lines:
                console.print(Text(f"\n{name}: {title}", style="bold"))
                for line in lines:
                    console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)


def facts(score: Score) -> dict[str, str]:
    """The measures, in words."""
    cost = score.overhead
    found, listed = score.infos
    return {
        "faulty scripts": str(len(score.patients)),
        "recall": share(score.recall),
        "rank 1 right": share(score.rank_one),
        "healthy runs with a false alarm": share(score.alarmed),
        "twins' runs with a false alarm": share(score.twins_alarmed),
        "late harm warned well ahead": share(score.ahead),
        "of what shows well ahead": share(score.foreseen),
        "lead before late harm, median": _lead(score),
        "infos told where listed": f"{found} of {listed}" if listed else "none listed",
        "faulty scripts with a stray finding": share(
            (sum(bool(p.strays) for p in score.patients), len(score.patients))
        ),
        "steady cost, median and most": _range(cost["steady"], 100, "%"),
        "start, credit, closing (median)": ", ".join(
            f"{np.median(cost[key]):.2f} s" if cost[key].size else "–" for key in ("startup_s", "credit_s", "closing_s")
        ),
    }


def share(pair: tuple[int, int]) -> str:
    """``71 of 72 (0.99)``."""
    part, whole = pair
    return f"{part} of {whole} ({part / whole:.2f})" if whole else "–"


def summary(scores: Scores) -> Table:
    """The measures, a column a part."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    columns = [facts(score) for score in scores.values()]
    for name in scores:
        table.add_column(name)
    for row in columns[0] if columns else ():
        table.add_row(row, *(column[row] for column in columns))
    return table


def by_id(scores: Scores) -> Table:
    """Found and right at rank 1 of how many, by condition."""
    table = Table(box=None, pad_edge=False, header_style="bold", title=None)
    table.add_column("\ncondition")
    for name in scores:
        table.add_column(f"{name}\nfound", justify="right")
        table.add_column("\nrank 1", justify="right")
        table.add_column("\nscripts", justify="right")
    for id in sorted({id for score in scores.values() for id in score.by_id}):
        cells: list[str] = []
        clean = True
        for score in scores.values():
            found, named, whole = score.by_id.get(id, (0, 0, 0))
            clean &= named == whole
            cells += [str(found), str(named), str(whole)] if whole else ["", "", ""]
        table.add_row(id, *cells, style="" if clean else "yellow")
    return table


def confusion(scores: Scores) -> Table:
    """What is named at rank 1 in place of what is wrong; what is named rightly is left out."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("\nwhat is wrong", "\nnamed instead"):
        table.add_column(head)
    for name in scores:
        table.add_column(f"{name}\nscripts", justify="right")
    pairs = {pair for score in scores.values() for pair in score.confusion if pair[0] != pair[1]}
    for condition, named in sorted(pairs):
        counts = [score.confusion[condition, named] for score in scores.values()]
        table.add_row(condition, named, *(str(count or "") for count in counts))
    if not pairs:
        table.add_row("nothing is confused", "", *("" for _ in scores))
    return table


def attention(score: Score) -> dict[str, list[str]]:
    """What is wrong, a line each, by title."""
    return {
        "runs that told nothing": list(score.troubles),
        "faults not found": [_line(p) for p in score.patients if not p.found],
        "found, but not at rank 1": [_line(p) for p in score.patients if p.found and not p.named],
        "stray findings in faulty scripts": [
            f"{p.case.name} ({p.case.condition}): {', '.join(p.strays)}" for p in score.patients if p.strays
        ],
        "false alarms in healthy scripts": [_alarm(*told) for told in score.false_alarms],
        "false alarms in twins": [_alarm(*told) for told in score.twin_alarms],
        "late harm without a warning well ahead": [
            f"{p.case.name} ({p.case.condition}): harm at {p.harm.step} by {p.harm.by}, "
            + ("not found" if p.warned is None else f"warned at {p.warned}")
            for p in score.patients
            if p.late and not p.early
        ],
        "harm not measured by the script's own number": list(score.harmless),
    }


def one(case: Case, seed: int, outcome: Outcome) -> str:
    """A line on one run: what was told, and how it went."""
    told = ", ".join(f"{f['rank']} {f['id']} ({f['severity']}, step {f['detected_step']})" for f in outcome.findings)
    end = f"; ended by {outcome.exception}" if outcome.exception else ""
    values = outcome.printed.values
    came = f"{case.metric} {values[0]:.4g} → {values[-1]:.4g}" if values else "no number printed"
    run = f"{case.kind}/{case.name} seed {seed} [{case.condition}]"
    return f"{run}: {told or NOTHING}; {outcome.steps} steps, {outcome.seconds:.1f} s, {came}{end}"


def compared(patient: Patient) -> str:
    """A line on a faulty script beside its twin: the harm, and the number that each came to."""
    if not patient.twins:
        return f"{patient.case.name}: not compared with its twin"
    sign = 1.0 if patient.case.better == "min" else -1.0
    came, bound = sign * final(patient.outcome.badness), sign * limit([twin.badness for twin in patient.twins])
    harm = "no harm" if patient.harm.step is None else f"harm at step {patient.harm.step} by {patient.harm.by}"
    word = "worse" if patient.harmed else "no worse"
    return f"{patient.case.name}: {harm}; {patient.case.metric} came to {came:.4g}, {word} than the bound {bound:.4g}"


def _line(patient: Patient) -> str:
    told = ", ".join(f"{f['id']}@{f['detected_step']}" for f in patient.outcome.serious) or NOTHING
    return f"{patient.case.name} ({patient.case.condition}): {told}"


def _alarm(run: str, id: str, rank: int, step: int) -> str:
    return f"{run}: {id} at rank {rank}, step {step}"


def _lead(score: Score) -> str:
    leads: Sequence[int] = [p.lead for p in score.patients if p.late and p.lead is not None]
    return f"{np.median(leads):.0f} steps" if leads else "–"


def _range(values: np.ndarray, factor: float, unit: str) -> str:
    if not values.size:
        return "–"
    return f"{number(factor * float(np.median(values)), 2)} and {number(factor * float(values.max()), 2)} {unit}"
