"""What an earlier run's diagnosis says to apply. Needed before the script, so the standard library has to serve."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def first_remedy(run: str) -> str:
    """What ``--apply`` is to be given: of the remedies of the run's first finding, the first that it knows.

    Raises
    ------
    ValueError
        If there is no such run, it is healthy, or the finding's remedies are code to paste.
    """
    findings = [f for f in _diagnosis(Path(run)).get("findings", []) if f.get("severity") != "info"]
    if not findings:
        raise ValueError(f"{run} has no finding above info: there is nothing to cure")
    finding = findings[0]
    for remedy in finding.get("remedies", []):
        if remedy.get("apply"):
            return str(remedy["apply"])
    raise ValueError(
        f"the first finding of {run}, {finding.get('id')}, is cured by a change of the script alone; "
        f"surefoot show {run} tells which"
    )


def _diagnosis(folder: Path) -> dict[str, Any]:
    file = folder / "diagnosis.json"
    if file.is_file():
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            raise ValueError(f"{file} can't be read; surefoot show {folder} makes it anew from the record") from None
    if not (folder / "run.sqlite").is_file():
        raise ValueError(f"--from wants the folder of a run; {str(folder)!r} holds no run.sqlite")
    # a run that was killed has a record and no diagnosis; to judge it loads what the script is to load itself
    command = [sys.executable, "-m", "surefoot", "show", str(folder), "--json"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        raise ValueError(f"{folder} can't be judged: {told.stderr.strip() or told.returncode}")
    return json.loads(told.stdout)
