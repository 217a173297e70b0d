"""Numbers, places and facts of a run in words, the same in the terminal and on the page."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from surefoot.report.record import Record
from surefoot.runs.schema import Evidence, Finding
from surefoot.runs.signals import SIGNALS

KILLED = "no last words: the run was killed or is still running"
MEANS = {"hooks": "by hooks", "borrow": "on a borrowed graph", "replay": "by replay"}
TITLES = {signal.name: signal.title for signal in SIGNALS.values()}


def title(signal: str) -> str:
    """A signal's name for an axis."""
    return TITLES.get(signal, signal.replace("_", " "))


def number(value: float, digits: int = 3) -> str:
    """A number with the digits that matter: ``0.0123``, ``1,200``, ``3.1e-12``, ``inf``."""
    value = float(value)
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    size = abs(value)
    if value == int(value) and size < 1e6:
        return f"{int(value):,}"
    if 1e-3 <= size < 1e5:
        return f"{value:,.0f}" if size >= 10**digits else f"{value:.{digits}g}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def comparison(evidence: Evidence) -> str:
    """``0.31 > 0.1``: the value and on which side of its threshold it is; the value alone where there is none."""
    value, threshold = evidence.value, evidence.threshold
    if math.isnan(threshold):
        return number(value)
    if math.isnan(value):
        return f"nan (threshold {number(threshold)})"
    sign = ">" if value > threshold else "<" if value < threshold else "="
    shown = number(value), number(threshold)
    if shown[0] == shown[1] and value != threshold:
        shown = number(value, 6), number(threshold, 6)
    return f"{shown[0]} {sign} {shown[1]}"


def seconds(value: float) -> str:
    """A duration: ``0.41 s``, ``47 s``, ``3 min 12 s``, ``2 h 05 min``."""
    if value < 10:
        return f"{value:.2g} s" if value < 1 else f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(amount: int, noun: str) -> str:
    """``1 step``, ``1,200 steps``."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"


def places(wheres: Sequence[str]) -> str:
    """Where something is: up to three names, else the first, the last and how many there are."""
    named = [where for where in wheres if where]
    if not named:
        return "whole run"
    if len(named) <= 3:
        return ", ".join(named)
    return f"{named[0]} … {named[-1]} ({len(named)} modules)"


def since(finding: Finding, end: int) -> str:
    """When a finding began, was detected and last held, in a record whose newest row is of step ``end``."""
    if not finding.last_step:
        return "at the start"
    text = f"since step {finding.first_step:,}"
    if finding.detected_step != finding.first_step:
        text += f", detected at {finding.detected_step:,}"
    return f"{text}, to the end" if finding.last_step >= end else f"{text}, last seen at {finding.last_step:,}"


def sentence(text: str) -> str:
    """With a capital at its start, unless it starts with a name such as ``blocks.0.fc1``."""
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first.isalpha() and first.islower() else text


def chains(findings: Sequence[Finding]) -> list[tuple[Finding, list[Finding]]]:
    """Each root finding with everything that follows from it, directly or not, all by rank."""
    by_id: dict[str, Finding] = {}
    for finding in findings:
        by_id.setdefault(finding.id, finding)

    def root(finding: Finding) -> Finding:
        seen = {id(finding)}
        while finding.because_of in by_id:
            finding = by_id[finding.because_of]
            if id(finding) in seen:  # a circle has no root: let each stand for itself
                return start
            seen.add(id(finding))
        return finding

    grouped: dict[int, tuple[Finding, list[Finding]]] = {}
    for start in findings:
        if root(start) is start:
            grouped[id(start)] = (start, [])
    for start in findings:
        top = root(start)
        if top is not start:
            grouped[id(top)][1].append(start)
    return list(grouped.values())


def duration(record: Record) -> str:
    """How long the run's steps took, from those that were timed; empty if none was."""
    signal = record.signal("step_time")
    if signal is None:
        return ""
    times = signal.values[np.isfinite(signal.values)]
    return seconds(float(times.mean()) * record.steps) if times.size else ""


def ending(record: Record) -> str:
    """How the run ended."""
    if not record.ended:
        return KILLED
    if record.inspected and not (record.diagnosis.get("exit") or {}).get("exception"):
        return "inspected before the first step"
    words = record.diagnosis.get("exit") or {}
    exception, code = words.get("exception"), words.get("code")
    if exception:
        return f"ended by {' '.join(str(exception).split())}"
    return "ended normally" if code == 0 else f"ended with exit code {code}"


def command(record: Record) -> str:
    """The command line of the run, as a shell takes it."""
    argv = record.meta.get("argv") or record.diagnosis.get("argv") or []
    if record.inspected:
        return shlex.join(["surefoot", "inspect", *(record.meta.get("options") or ()), record.script, *map(str, argv)])
    remedies = [word for remedy in record.meta.get("apply") or () for word in ("--apply", str(remedy))]
    return shlex.join(["surefoot", "run", *remedies, record.script, *map(str, argv)])


def applied(record: Record) -> list[str]:
    """What each remedy of ``--apply`` did, as far as it is recorded: one line a remedy."""
    told = {str(event.data.get("id")): str(event.data.get("text")) for event in record.events("applied")}
    ids = dict.fromkeys(str(event.data.get("id")) for event in record.events("apply"))
    return [f"{id}: {told.get(id, 'did nothing so far')}" for id in ids]


def tally(findings: Sequence[Finding]) -> str:
    """``1 critical, 2 warnings``; the infos only where there is nothing else."""
    amounts = {severity: sum(f.severity == severity for f in findings) for severity in ("critical", "warning", "info")}
    parts = []
    if amounts["critical"]:
        parts.append(f"{amounts['critical']} critical")
    if amounts["warning"]:
        parts.append(count(amounts["warning"], "warning"))
    if not parts and amounts["info"]:
        parts.append(f"{amounts['info']} for information")
    return ", ".join(parts) or "nothing found"


def cost(record: Record) -> list[str]:
    """What watching cost, in short parts: the steady share, the one-off seconds, the looks."""
    overhead: dict[str, Any] = record.diagnosis.get("overhead") or {}
    parts = []
    if overhead.get("steady") is not None and not record.inspected:
        text = f"{100 * float(overhead['steady']):.1f} % of step time"
        if overhead.get("budget") is not None:
            text += f" (budget {100 * float(overhead['budget']):g} %)"
        parts.append(text)
    for key, word in (("startup_s", "start"), ("credit_s", "credit"), ("closing_s", "closing")):
        if overhead.get(key) is not None:
            parts.append(f"{word} {seconds(float(overhead[key]))}")
    looks = overhead.get("looks") or {}
    if looks:
        parts.append(count(sum(int(n) for n in looks.values()), "look"))
    return parts
