"""All runs of a part of the corpus, side by side on the cores there are, with how far they are on stderr."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

import runs
from cases import Case
from runs import Job, Outcome

TWIN_SEEDS = (0, 1, 2)
Outcomes = dict[tuple[str, str, int], tuple[Case, Outcome]]


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def jobs_of(cases: Sequence[Case], home: Path, seed: int = 0, options: tuple[str, ...] = ()) -> list[Job]:
    """The runs that scoring takes: one of each script, and three of a twin, whose seeds make the band."""
    return [
        runs.job(case, at, home, options) for case in cases for at in (TWIN_SEEDS if case.kind == "twins" else (seed,))
    ]


def gather(jobs: Sequence[Job], workers: int, console: Console, any_version: bool = False) -> list[Outcome]:
    """Make the runs that are not kept, judge what has to be, and read the rest.

    Parameters
    ----------
    jobs : the runs
    workers : how many at once
    console : told how far it is
    any_version : take the records that are there, of whatever surefoot
    """
    done: dict[Job, Outcome] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("clinic", total=len(jobs))

        def finished(job: Job, outcome: Outcome) -> None:
            done[job] = outcome
            progress.update(task, advance=1, description=str(job))
            if outcome.trouble is not None:
                progress.console.print(Text(f"{job}: {outcome.trouble}", style="yellow"), soft_wrap=True)
            if not console.is_terminal:  # where no bar can be drawn
                console.print(f"{len(done)} of {len(jobs)}: {job}, {outcome.seconds:.1f} s", highlight=False)

        _spread(jobs, workers, partial(runs.outcome, any_version=any_version), finished)
    return [done[job] for job in jobs]


def outcomes_of(jobs: Sequence[Job], results: Sequence[Outcome]) -> Outcomes:
    """By kind, name and seed, as :func:`score.score` takes them."""
    return {
        (job.case.kind, job.case.name, job.seed): (job.case, result) for job, result in zip(jobs, results, strict=True)
    }


def _spread(
    jobs: Sequence[Job], workers: int, work: Callable[[Job], Outcome], finished: Callable[[Job, Outcome], None]
) -> None:
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with ProcessPoolExecutor(max(1, min(workers, len(jobs))), context) as pool:
        pending: dict[Future[Outcome], Job] = {pool.submit(work, job): job for job in jobs}
        try:
            while pending:
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    finished(pending.pop(future), future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
