"""``diagnosis.json``: the verdict on one run, with its findings and what watching cost."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from surefoot.runs.schema import SCHEMA, Finding, json_safe, verdict


def build(
    *,
    script: str,
    argv: Sequence[str],
    steps: int,
    code: int | None,
    exception: str | None,
    overhead: dict[str, Any],
    findings: Sequence[Finding],
    applied: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The diagnosis as DESIGN lays it out; ``code`` is None while the run goes on or if it left no last words.

    ``applied`` is what each remedy of ``--apply`` did; there is no such entry where there was none.
    """
    return {
        "schema": SCHEMA,
        "script": script,
        "argv": list(argv),
        "steps": steps,
        "exit": {"code": code, "exception": exception},
        "verdict": verdict(list(findings)),
        "overhead": json_safe(overhead),
        **({"applied": dict(applied)} if applied else {}),
        "findings": [finding.to_json() for finding in findings],
    }


def write(folder: Path, diagnosis: dict[str, Any]) -> None:
    """Write ``diagnosis.json`` so that a reader never sees half of it."""
    path = folder / "diagnosis.json"
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    scratch.write_text(json.dumps(diagnosis, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(scratch, path)
