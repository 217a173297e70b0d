"""Run studies: finished seeds are kept and not run again, the others share the cores there are."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from surefoot.monitor.environment import surroundings
from surefoot.studies import page, store
from surefoot.studies.frame import SCALES, Scale, Study, find, listen

Listener = Callable[[float, str], None]
"""Told the share of the whole that is done, and what was done last."""


@dataclass(frozen=True)
class Job:
    """One seed of one study, and the file that keeps what it gives."""

    slug: str
    scale: Scale
    seed: int
    path: Path


def run(
    studies: Sequence[Study],
    *,
    scale: Scale = "small",
    seeds: int = 3,
    out: str | Path = "surefoot-studies",
    workers: int | None = None,
    listener: Listener | None = None,
) -> list[dict[str, Any]]:
    """Measure the seeds that are not kept yet, judge every claim, and write result, figures and page of each study.

    Parameters
    ----------
    studies
        The studies to run.
    scale
        ``"smoke"`` (seconds), ``"small"`` (minutes) or ``"paper"`` (the paper's sizes).
    seeds
        How many; they are 0, 1, ….
    out
        The folder for results; a study's own is ``OUT/SLUG/SCALE``.
    workers
        How many processes; by default one a core. With one, everything happens in this process.
    listener
        Is told how far it is.

    Returns
    -------
    list of dict
        What each study's ``result.json`` holds.

    Raises
    ------
    ValueError
        For an unknown scale, or numbers of seeds or workers below one.
    RuntimeError
        If a seed failed, after all others are through.
    """
    if scale not in SCALES:
        raise ValueError(f"scale: got {scale!r}; use one of {', '.join(SCALES)}")
    if seeds < 1:
        raise ValueError(f"seeds: got {seeds}; use at least 1")
    if workers is not None and workers < 1:
        raise ValueError(f"workers: got {workers}; use at least 1")
    jobs = [
        Job(study.slug, scale, seed, store.folder(out, study.slug, scale) / "seeds" / f"{seed}.json")
        for study in studies
        for seed in range(seeds)
    ]
    by_slug = {study.slug: study for study in studies}
    todo = [job for job in jobs if store.read_seed(job.path, by_slug[job.slug]) is None]
    workers = min(workers or cores(), max(1, len(todo)))
    # Small tensors gain nothing from threads, which wait for each other where cores are shared; and results would
    # depend on their number.
    threads = max(1, cores() // workers) if scale == "paper" else 1
    tracker = _Tracker({job: minutes(by_slug[job.slug], scale) for job in todo}, listener)
    if workers == 1:
        failures = _here(todo, by_slug, threads, tracker)
    else:
        failures = _spread(todo, workers, threads, tracker)
    results = []
    for study in studies:
        kept = {job.seed: store.read_seed(job.path, study) for job in jobs if job.slug == study.slug}
        complete = {seed: value for seed, value in kept.items() if value is not None}
        if len(complete) < len(kept):
            continue
        result = store.conclude(study, scale, complete, out)
        home = store.folder(out, study.slug, scale)
        store.write(home / "report.html", page.study_page(result, store.plots_of(result, out)))
        results.append(result)
    if failures:
        job, error = failures[0]
        raise RuntimeError(f"{job.slug}: seed {job.seed} failed: {type(error).__name__}: {error}") from error
    return results


def minutes(study: Study, scale: Scale) -> float:
    """The predicted minutes of one seed on one core; a guess where the study gives none."""
    return study.minutes.get(scale, {"smoke": 0.1, "small": 5.0, "paper": 600.0}[scale])


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Tracker:
    """Adds up how far the jobs are, each weighted with its predicted time."""

    def __init__(self, weights: dict[Job, float], listener: Listener | None) -> None:
        self._weights, self._listener = weights, listener
        self._shares = dict.fromkeys(weights, 0.0)

    def tell(self, job: Job, share: float) -> None:
        self._shares[job] = share
        if self._listener is not None:
            done = sum(self._weights[job] * share for job, share in self._shares.items())
            self._listener(done / sum(self._weights.values()), f"{job.slug} seed {job.seed}")


def _here(
    jobs: Sequence[Job], by_slug: dict[str, Study], threads: int, tracker: _Tracker
) -> list[tuple[Job, BaseException]]:
    before = torch.get_num_threads()
    failures: list[tuple[Job, BaseException]] = []
    torch.set_num_threads(threads)
    try:
        for job in jobs:
            try:
                _measure(by_slug[job.slug], job, partial(tracker.tell, job))
            except Exception as error:
                failures.append((job, error))
            tracker.tell(job, 1.0)
    finally:
        torch.set_num_threads(before)
    return failures


def _spread(jobs: Sequence[Job], workers: int, threads: int, tracker: _Tracker) -> list[tuple[Job, BaseException]]:
    context = multiprocessing.get_context("spawn")  # a fork of a process that has used torch's threads may hang
    news = context.SimpleQueue()
    with ProcessPoolExecutor(workers, context, _begin, (threads, news)) as pool:
        pending: dict[Future[None], Job] = {pool.submit(_work, job): job for job in jobs}
        failures: list[tuple[Job, BaseException]] = []
        try:
            while pending:
                done, _ = wait(pending, timeout=0.25, return_when=FIRST_COMPLETED)
                while not news.empty():
                    tracker.tell(*news.get())
                for future in done:
                    job = pending.pop(future)
                    error = future.exception()
                    if error is not None:
                        failures.append((job, error))
                    tracker.tell(job, 1.0)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failures


_news: Any = None


def _begin(threads: int, news: Any) -> None:
    """In a worker, before its first job."""
    global _news
    torch.set_num_threads(threads)
    _news = news


def _work(job: Job) -> None:
    _measure(find(job.slug), job, lambda share: _news.put((job, share)))


def _measure(study: Study, job: Job, tell: Callable[[float], None]) -> None:
    last = 0.0

    def seldom(share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 0.2:
            last = now
            tell(share)

    listen(seldom)
    start = time.monotonic()
    try:
        result = study.run(job.scale, job.seed)
    finally:
        listen(None)
    seconds = time.monotonic() - start
    known = surroundings()
    machine = {"versions": known["versions"], "machine": {**known["machine"], "processor": _processor()}}
    store.write_seed(job.path, study, result, seconds, machine)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        import platform

        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
