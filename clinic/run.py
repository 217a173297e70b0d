"""The clinic: run the corpus under ``surefoot run`` and score the diagnoses.

python clinic/run.py                     # the tuned two thirds
python clinic/run.py --split all         # both parts side by side, as make clinic does
python clinic/run.py --only gan_lr       # one script, with its twin
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import page
import runs
import tables
from cases import CORPUS, KINDS, SPLITS, Kind, load
from gather import Outcomes, cores, gather, jobs_of, outcomes_of
from score import Score, part

CONFIDENCE = CORPUS.parent / "src" / "surefoot" / "findings" / "precision.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, score, print, write the page; returns the exit code."""
    asked = parser(__doc__ or "")
    asked.add_argument(
        "--write-confidence",
        action="store_true",
        help="keep each id's precision on the held-out third as the confidence of findings (make clinic alone does)",
    )
    asked.add_argument(
        "--quick", action="store_true", help="leave the twins away: no harm, no lead, a third of the time"
    )
    options = asked.parse_args(arguments)
    partial = options.split == "tuned" or options.only or options.recorded or options.quick
    partial = partial or options.seed or options.look_every or options.corpus != CORPUS
    if options.write_confidence and partial:
        asked.error("--write-confidence wants the whole held-out third as it is: --split all, and no other option")
    console, news = Console(), Console(stderr=True)
    made = runs_of(options, news, ("faulty", "healthy") if options.quick else KINDS)
    if isinstance(made, int):
        return made
    outcomes, complete = made
    if options.only:
        for (_, _, seed), (case, outcome) in outcomes.items():
            console.print(tables.one(case, seed, outcome), markup=False, highlight=False, soft_wrap=True)
    scores = parts(outcomes, options.split)
    if options.only:
        for patient in (p for score in scores.values() for p in score.patients):
            console.print(tables.compared(patient), markup=False, highlight=False, soft_wrap=True)
    tables.show(scores, console)
    sound = complete and not any(score.troubles for score in scores.values())
    if options.write_confidence:
        if sound and scores["held-out"].patients:
            write_confidence(scores["held-out"], CONFIDENCE)
        else:
            why = "not every script was run to its end" if not sound else "no script is held out that was not opened"
            news.print(f"The confidence of findings is left as it is: {why}.")
    place = page.write(scores, options.out / "clinic.html")
    console.print(f"\n{place}", highlight=False)
    return 0 if sound else 1


def runs_of(options: argparse.Namespace, news: Console, kinds: Sequence[Kind] = KINDS) -> tuple[Outcomes, bool] | int:
    """The runs that the options ask for, and whether every script could be run; an exit code where there are none."""
    try:
        cases, problems = load(options.split, options.only, options.corpus)
    except ValueError as error:
        news.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    for problem in problems:
        news.print(problem, style="yellow", markup=False, highlight=False, soft_wrap=True)
    jobs = jobs_of([case for case in cases if case.kind in kinds], options.out, options.seed, watching(options))
    if options.recorded:
        jobs = [job for job in jobs if runs.is_recorded(job, any_version=True)]
    if not jobs:
        news.print("There is no record of any script yet." if options.recorded else "There is no script to run.")
        return 1
    return outcomes_of(jobs, gather(jobs, options.jobs, news, any_version=options.recorded)), not problems


def watching(options: argparse.Namespace) -> tuple[str, ...]:
    """The options for ``surefoot run``."""
    return () if options.look_every is None else ("--look-every", str(options.look_every))


def parts(outcomes: Outcomes, split: str) -> dict[str, Score]:
    """The score of each part of a split that has any run."""
    both = {name: part(outcomes, name == "held-out") for name in ("tuned", "held-out")}
    return {name: score for name, score in both.items() if split in (name, "all")}


def write_confidence(score: Score, path: Path) -> None:
    """Keep how often each id was right and told on the held-out third: their ``confidence`` comes from it."""
    lines = ",\n".join(f" {json.dumps(id)}: {list(counts)}" for id, counts in score.precision.items())
    path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def parser(about: str) -> argparse.ArgumentParser:
    """The options that the clinic's two commands share."""
    options = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--split",
        choices=SPLITS,
        default="tuned",
        help="the part to run; held-out is run on purpose only (%(default)s)",
    )
    options.add_argument("--only", nargs="+", default=[], metavar="NAME", help="scripts by name or glob")
    options.add_argument("--jobs", type=int, default=cores(), metavar="N", help="how many at once (%(default)s)")
    options.add_argument("--seed", type=int, default=0, help="of faulty and healthy scripts (%(default)s)")
    options.add_argument(
        "--recorded", action="store_true", help="run nothing: judge the records that are there by the present rules"
    )
    options.add_argument(
        "--look-every", type=int, metavar="N", help="look at every N-th step whatever it costs, as on a busy machine"
    )
    options.add_argument("--corpus", type=Path, default=CORPUS, metavar="DIR", help="another corpus than the clinic's")
    options.add_argument("--out", type=Path, default=runs.HOME, metavar="DIR", help="the folder for runs (%(default)s)")
    return options


if __name__ == "__main__":
    sys.exit(main())
