"""Runs of a sweep as tasks of a Ray cluster; the cluster's machines need no disk in common with this one."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from surefoot.sweeps.attempt import finish, start
from surefoot.sweeps.launch import keep
from surefoot.sweeps.plan import Trial


def run(
    trials: Sequence[Trial],
    folder: Path,
    options: tuple[str, ...],
    address: str | None,
    told: Callable[[int, str], None],
) -> None:
    """Run each trial on one CPU of the cluster, in a copy of the working directory; its folder is sent back here.

    surefoot has to be installed on the cluster, and the script to find its data there.

    Raises
    ------
    ValueError
        If Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise ValueError("--engine ray: Ray is not installed; pip install 'surefoot[ray]'") from None
    ours = not ray.is_initialized()
    if ours:
        # a cluster somewhere else gets what lies in the working directory
        runtime: dict[str, Any] = (
            {} if address in (None, "local") else {"runtime_env": {"working_dir": str(Path.cwd())}}
        )
        ray.init(address=address, log_to_driver=False, **runtime)
    try:
        # a task that Ray does again after a machine was lost begins anew
        task = ray.remote(num_cpus=1)(attempt)
        local = str(Path.cwd()) if address in (None, "local") else None
        pending = {task.remote(trial, options, local): trial for trial in trials}
        done = 0
        while pending:
            ready, _ = ray.wait(list(pending), num_returns=1)
            for reference in ready:
                trial = pending.pop(reference)
                files: dict[str, bytes] = ray.get(reference)
                half = folder / f"{trial.name}.part-{secrets.token_hex(4)}"
                half.mkdir()
                for name, content in files.items():
                    (half / name).write_bytes(content)
                keep(half, folder, trial)
                done += 1
                told(done, trial.name)
    finally:
        if ours:
            ray.shutdown()


def attempt(trial: Trial, options: tuple[str, ...], cwd: str | None) -> dict[str, bytes]:
    """One run on whichever machine this is: the files of its folder, by name."""
    with tempfile.TemporaryDirectory(prefix="surefoot-") as place:
        half = Path(place) / "run"
        begun = time.monotonic()
        process = start(trial.command(str(half), options), half, threads=1, cwd=cwd)
        try:
            code = process.wait()
        finally:
            process.kill()
        finish(half, trial.values, code, begun)
        return {file.name: file.read_bytes() for file in half.iterdir() if file.is_file()}
