"""The cure of rank 1, and those of what was found beside it: which of them was the root the script itself tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from surefoot.runs.schema import Finding

_CHOICE = "best-of:of="
_MOST = 8  # remedies to choose from: each is a run of the script, or a part of one


def beside(ranked: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings, with what ``--apply`` knows against the others among the choices of the first.

    Ranks are what is most probable. Where the first finding itself has several cures to choose from, and so does not
    know, the first cure of each other finding above info is one more.
    """
    serious = [finding for finding in ranked if finding.severity != "info"]
    cure = serious[0].remedies[0] if serious and serious[0].remedies else None
    if cure is None or not str(cure.apply).startswith(_CHOICE):
        return tuple(ranked)
    known = _choices(cure.apply)
    for other in serious[1:]:
        for remedy in other.remedies[:1]:
            known += [text for text in _choices(remedy.apply)[:2] if text not in known]
    widened = replace(cure, apply=_CHOICE + "/".join(known[:_MOST]))
    first = replace(serious[0], remedies=(widened, *serious[0].remedies[1:]))
    return tuple(first if finding is serious[0] else finding for finding in ranked)


def _choices(apply: str | None) -> list[str]:
    if apply is None or apply.startswith("game-search"):
        return []
    return apply.removeprefix(_CHOICE).split("/")
