"""Cures: apply the first remedy of each faulty script's rank 1, by machine, and see whether the script is well.

python clinic/cure.py                    # the tuned two thirds; runs what run.py has not run yet
python clinic/cure.py --split all        # both parts, as make clinic-cure does
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

import page
import runs
import tables
from gather import gather
from metric import final, limit
from paste import NoPlace, paste
from run import parser, parts, runs_of, watching
from runs import Job, Outcome
from score import Patient


@dataclass(frozen=True)
class Cure:
    """What came of one attempt.

    Attributes
    ----------
    remedy : what was done, in words; empty where nothing could be done
    why_not : why the script is not well; empty where it is
    outcome : the run with the remedy, if there was one
    """

    remedy: str
    why_not: str
    outcome: Outcome | None = None

    @property
    def cured(self) -> bool:
        """Whether the script came to what its twin comes to, with nothing above info."""
        return not self.why_not


def prepare(patient: Patient, home: Path, seed: int = 0, watching: tuple[str, ...] = ()) -> Job | Cure:
    """The run with the first remedy of rank 1, or why there is none."""
    if not patient.outcome.serious:
        return Cure("", "nothing was found")
    remedies: Sequence[Mapping[str, Any]] = patient.outcome.serious[0]["remedies"]
    if not remedies:
        return Cure("", f"{patient.first} names no remedy")
    remedy, case = remedies[0], patient.case
    script, options = case.path, watching
    if remedy["apply"]:
        options = (*watching, "--apply", remedy["apply"])
    else:
        try:
            text = paste(case.path.read_text(encoding="utf-8"), remedy["how"])
        except NoPlace as error:
            return Cure(remedy["name"], f"cannot be pasted: {error}")
        script = home / "cured" / case.path.name
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(text, encoding="utf-8")
    return Job(case, seed, home / "runs" / "cured" / case.name / str(seed), script, options)


def judge(patient: Patient, remedy: str, outcome: Outcome) -> Cure:
    """Whether a run with a remedy is well."""
    bar = limit([twin.badness for twin in patient.twins])
    came = final(outcome.badness)
    sign = 1.0 if patient.case.better == "min" else -1.0
    reasons = []
    if outcome.trouble is not None:
        reasons.append(outcome.trouble)
    elif outcome.code != 0:
        reasons.append(f"ended with exit code {outcome.code} ({outcome.exception})")
    if outcome.trouble is None and not came <= bar:
        reasons.append(f"{patient.case.metric} came to {sign * came:.4g}, the twin's bound is {sign * bar:.4g}")
    if outcome.serious:
        reasons.append(f"found: {', '.join(f['id'] for f in outcome.serious)}")
    return Cure(remedy, "; ".join(reasons), outcome)


def cure(patients: Sequence[Patient], options: argparse.Namespace, news: Console) -> dict[str, Cure]:
    """Try to cure each, as the command's options say; by the script's name."""
    prepared = {p.case.name: prepare(p, options.out, options.seed, watching(options)) for p in patients}
    jobs = [job for job in prepared.values() if isinstance(job, Job)]
    if options.recorded:
        jobs = [job for job in jobs if runs.is_recorded(job, any_version=True)]
    ran = dict(zip(jobs, gather(jobs, options.jobs, news, options.recorded), strict=True)) if jobs else {}
    tried: dict[str, Cure] = {}
    for patient in patients:
        work = prepared[patient.case.name]
        if isinstance(work, Cure):
            tried[patient.case.name] = work
        elif work in ran:
            name = patient.outcome.serious[0]["remedies"][0]["name"]
            way = f"--apply {work.options[-1]}" if "--apply" in work.options else "pasted"
            tried[patient.case.name] = judge(patient, f"{name} ({way})", ran[work])
    return tried


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, cure, print, write the page; returns the exit code."""
    options = parser(__doc__ or "").parse_args(arguments)
    console, news = Console(), Console(stderr=True)
    made = runs_of(options, news, kinds=("faulty", "twins"))
    if isinstance(made, int):
        return made
    scores = parts(made[0], options.split)
    tried = {name: cure(score.patients, options, news) for name, score in scores.items()}
    for name, cures in tried.items():
        well = sum(one.cured for one in cures.values())
        console.print(Text(f"{name}: cured {tables.share((well, len(cures)))}", style="bold"))
        for script, one in sorted(cures.items(), key=lambda item: (item[1].cured, item[0])):
            mark = "cured    " if one.cured else "not cured"
            line = f"  {mark}  {script}: {one.remedy or 'no remedy'}" + (f"; {one.why_not}" if one.why_not else "")
            console.print(line, highlight=False, markup=False, soft_wrap=True, style="" if one.cured else "yellow")
    place = page.write(scores, options.out / "cures.html", {k: v for cures in tried.values() for k, v in cures.items()})
    console.print(f"\n{place}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
