"""Launches what is left of a sweep: on the cores of this machine, or by an engine that is given.

A run works in a folder of its own, ``NAME.part-…``, which gets its name when the run has ended: what bears a run's name
is complete. What a kill leaves half done is thrown away and done again.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from surefoot.sweeps.attempt import ended, finish, start
from surefoot.sweeps.plan import Plan, Trial

Listener = Callable[[int, int, str], None]
"""Told how many runs have ended, of how many, and the name of the last."""

_PLAN = "plan.json"
_POLL = 0.05  # seconds
_PATIENCE = 10.0  # seconds for a run to end by itself once it is told to


def launch(
    sweep: Plan,
    folder: str | Path,
    *,
    engine: str = "local",
    address: str | None = None,
    workers: int | None = None,
    options: Sequence[str] = (),
    listener: Listener = lambda done, total, name: None,
) -> None:
    """Run those trials of a sweep that have not ended yet.

    A run that fails or diverges has ended: that is its result. More values can be added to a sweep later.

    Parameters
    ----------
    sweep
        From :func:`surefoot.sweeps.plan`.
    folder
        Of the sweep; each run gets one in it.
    engine
        ``"local"``: processes on this machine; ``"ray"``: tasks of a Ray cluster (``surefoot[ray]``).
    address
        Of the cluster, as ``ray.init`` takes it; by default one on this machine.
    workers
        How many runs at a time on this machine; by default one a core.
    options
        More options of ``surefoot run``.
    listener
        Is told how far it is.

    Raises
    ------
    ValueError
        If the folder holds a sweep of another command, or ``engine`` or ``workers`` is out of range.
    """
    folder = Path(folder)
    if engine not in ("local", "ray"):
        raise ValueError(f"--engine: got {engine!r}; use local or ray")
    if workers is not None and workers < 1:
        raise ValueError(f"--workers: got {workers}; use at least 1")
    if address is not None and engine != "ray":
        raise ValueError(f"--address: got {address!r}; it is that of a cluster, for --engine ray")
    _take(folder, sweep)
    for half in folder.glob("*.part-*"):
        shutil.rmtree(half, ignore_errors=True)
    left = [trial for trial in sweep.trials if ended(folder / trial.name) is None]
    total = len(sweep.trials)
    listener(total - len(left), total, "")
    if not left:
        return
    if engine == "ray":
        from surefoot.sweeps.ray_engine import run

        run(left, folder, tuple(options), address, lambda done, name: listener(total - len(left) + done, total, name))
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        at_once = min(workers or cores, len(left))
        _locally(left, folder, tuple(options), at_once, max(1, cores // at_once), total, listener)


def keep(half: Path, folder: Path, trial: Trial) -> None:
    """Give the folder of an ended run its name."""
    shutil.rmtree(folder / trial.name, ignore_errors=True)
    half.rename(folder / trial.name)


def _take(folder: Path, sweep: Plan) -> None:
    """Make the folder this sweep's, or see that it is."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / _PLAN
    try:
        template = json.loads(file.read_text(encoding="utf-8")).get("command")
    except FileNotFoundError:
        template = sweep.template
        if any(folder.iterdir()):
            raise ValueError(
                f"--out: {str(folder)!r} holds other things; name a new folder, or that of a sweep"
            ) from None
    if template != sweep.template:
        raise ValueError(f"--out: {str(folder)!r} holds the sweep of {template!r}; name another folder")
    value = {"command": sweep.template, "axes": {name: list(values) for name, values in sweep.axes.items()}}
    file.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")


def _locally(
    trials: Sequence[Trial],
    folder: Path,
    options: tuple[str, ...],
    at_once: int,
    threads: int,
    total: int,
    listener: Listener,
) -> None:
    waiting = list(reversed(trials))
    running: dict[subprocess.Popen[bytes], tuple[Trial, Path, float]] = {}
    done = total - len(trials)
    with _ends_on_sigterm():
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    trial = waiting.pop()
                    half = folder / f"{trial.name}.part-{secrets.token_hex(4)}"
                    command = trial.command(str(half.absolute()), options)
                    running[start(command, half, threads)] = trial, half, time.monotonic()
                time.sleep(_POLL)
                for process in [process for process in running if process.poll() is not None]:
                    trial, half, begun = running.pop(process)
                    finish(half, trial.values, process.returncode, begun)
                    keep(half, folder, trial)
                    done += 1
                    listener(done, total, trial.name)
        finally:
            _end(running)


def _end(running: dict[subprocess.Popen[bytes], Any]) -> None:
    """End the runs that are under way; there are none unless the sweep itself is ended."""
    for process in running:
        process.terminate()
    limit = time.monotonic() + _PATIENCE
    for process in running:
        try:
            process.wait(max(0.0, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _ends_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the sweep as Ctrl-C does, its runs first."""

    def end(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
