"""``surefoot show``: read a recorded run in the terminal."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer

from surefoot.cli.runs import chosen, folder

if TYPE_CHECKING:
    from surefoot.report.record import Record

_RUN = typer.Argument(None, metavar="RUN", help="A run's folder; by default the newest one under ./surefoot-runs.")
_JSON = typer.Option(False, "--json", help="Print the diagnosis as JSON.")


def show(run: str | None = _RUN, as_json: bool = _JSON) -> None:
    """Show what is wrong with a run, since when, why, and what cures it.

    \b
    examples:
      surefoot show
      surefoot show surefoot-runs/train-20260302-142107
      surefoot show --json | jq .verdict

    A run that was killed, or that still goes on, is judged by what it has recorded so far.
    """
    from surefoot.report.record import Record

    record = Record(chosen(run))
    page = folder(record.run) / "report.html"
    if not record.ended or not page.exists():
        from surefoot.report import html

        # A run that left no last words left no report either. A folder that can't be written to can still be read.
        with suppress(OSError):
            html.write(record, page)
    if as_json:
        json.dump(_diagnosis(record), sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
        print()
    else:
        from surefoot.report import terminal

        terminal.render(record)


def _diagnosis(record: Record) -> dict[str, Any]:
    """The diagnosis that the run left, else one made from its record so far."""
    if record.ended:
        return record.diagnosis
    from surefoot.monitor.diagnosis import build

    return build(
        script=record.script,
        argv=record.meta.get("argv") or [],
        steps=record.steps,
        code=None,
        exception=None,
        overhead=record.diagnosis.get("overhead") or {},
        findings=record.findings,
    )
