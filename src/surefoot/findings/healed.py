"""What passed and left no mark: a warning of steps or losses that have long been right again is an info at the end.

Steps that were too long, a jump, a climb are told when they are seen, for then nobody knows how it goes on. Where the
run has ended well, has shown nothing of it in all of its newer half, and its losses are at their best and below half of
where they began, it has healed by itself. What is a fact of the script (its wiring, its start) heals by no good end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from surefoot.findings.harm import harms
from surefoot.findings.history import History
from surefoot.findings.levels import LossLevel
from surefoot.runs.schema import Finding

_MAY_HEAL = frozenset({"learning-rate-too-high", "divergence", "unsafe-step", "loss-spike"})
_HALF = 0.5
_NOISES = 2.0


def healed(history: History, findings: Sequence[Finding]) -> list[Finding]:
    """The findings, those that have healed as infos without remedies."""
    if not any(f.id in _MAY_HEAL and f.severity != "info" for f in findings) or not _ended_well(history):
        return list(findings)
    return [_as_info(f) if f.id in _MAY_HEAL and f.last_step < _HALF * history.step else f for f in findings]


def _as_info(finding: Finding) -> Finding:
    if finding.severity == "info":
        return finding
    cause = f"{finding.cause} It has healed: nothing of it was seen after step {finding.last_step}."
    return replace(finding, severity="info", cause=cause, remedies=())


def _ended_well(history: History) -> bool:
    ended = history.events("exit")
    if not ended or ended[-1].step < history.step or ended[-1].data.get("code") or ended[-1].data.get("exception"):
        return False
    levels = history.losses.values()
    return bool(levels) and all(map(_at_its_best, levels)) and not harms(history)


def _at_its_best(level: LossLevel) -> bool:
    noise = max(level.noise, level.best_noise)
    near = level.recent <= level.best + _NOISES * noise
    return level.count > 0 and not level.negative and near and level.recent < _HALF * level.first
