"""One run of a sweep in a process of its own: what the engines have in common."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

OUTPUT = "output.txt"
ENDED = "trial.json"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def start(command: Sequence[str], folder: Path, threads: int, cwd: str | None = None) -> subprocess.Popen[bytes]:
    """Start the command of a run; all it prints goes to a file in ``folder``, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**dict.fromkeys(_THREADS, str(threads)), **os.environ}
    with (folder / OUTPUT).open("wb") as output:
        return subprocess.Popen(
            list(command),
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the sweep, which ends its runs itself
        )


def finish(folder: Path, values: Mapping[str, str], code: int, begun: float) -> None:
    """Write down how a run ended."""
    ended = {"values": dict(values), "code": code, "seconds": round(time.monotonic() - begun, 3)}
    (folder / ENDED).write_text(json.dumps(ended, ensure_ascii=False), encoding="utf-8")


def ended(folder: Path) -> dict[str, Any] | None:
    """What :func:`finish` wrote; None for a run that is not there, or was cut short."""
    try:
        return json.loads((folder / ENDED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
