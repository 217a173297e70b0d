"""The record of a run: what it is made of, how it is written while a run trains, and how it is read."""

from surefoot.runs.reader import Event, Run, open_run
from surefoot.runs.schema import SCHEMA, Evidence, Family, Finding, Remedy, Severity, Verdict, json_safe, verdict
from surefoot.runs.writer import RunWriter

__all__ = [
    "SCHEMA",
    "Event",
    "Evidence",
    "Family",
    "Finding",
    "Remedy",
    "Run",
    "RunWriter",
    "Severity",
    "Verdict",
    "json_safe",
    "open_run",
    "verdict",
]
