"""What follows from what: the causal graph between finding ids, ``because_of`` and the ranks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from surefoot.runs.schema import SEVERITIES, Finding

# Cause → what it is known to bring about. The order of the keys is the order of depth: of two causes that began
# together, the upper one is the root. Wiring comes before initialisation, initialisation before the learning rate
# (a bad start makes every rate too high), the learning rate before the damage it does to units and numbers.
EFFECTS: dict[str, frozenset[str]] = {
    "missing-zero-grad": frozenset(
        {
            "exploding-gradient",
            "learning-rate-too-high",
            "divergence",
            "dead-units",
            "saturated-units",
            "vanishing-gradient",
            "non-finite",
        }
    ),
    "double-softmax": frozenset({"learning-rate-too-low", "vanishing-gradient"}),
    "detached-parameters": frozenset({"learning-rate-too-low", "vanishing-gradient", "divergence"}),
    "optimizer-misses-parameters": frozenset({"learning-rate-too-low", "vanishing-gradient"}),
    "exploding-gradient": frozenset(
        {"learning-rate-too-high", "divergence", "dead-units", "saturated-units", "vanishing-gradient", "non-finite"}
    ),
    "saturated-units": frozenset({"vanishing-gradient", "learning-rate-too-low"}),
    "dead-units": frozenset({"vanishing-gradient", "learning-rate-too-low"}),
    "vanishing-gradient": frozenset({"learning-rate-too-low", "dead-units", "saturated-units"}),
    "learning-rate-too-high": frozenset(
        {"exploding-gradient", "divergence", "dead-units", "saturated-units", "vanishing-gradient", "non-finite"}
    ),
    "divergence": frozenset(
        {"exploding-gradient", "dead-units", "saturated-units", "vanishing-gradient", "non-finite"}
    ),
    "non-finite": frozenset({"dead-units", "saturated-units", "divergence", "exploding-gradient"}),
}
_DEPTH = {id: i for i, id in enumerate(EFFECTS)}


def slack(step: int) -> int:
    """How many steps later than its effect a cause may show: looks are sparse, at steps 1, 2, 4, 8, … at first."""
    return max(2, step // 8)


def brings_about(cause: Finding, effect: Finding) -> bool:
    """``cause`` can be why ``effect`` is there: the graph has the edge, and it began no later."""
    if effect.id not in EFFECTS.get(cause.id, ()) or (cause.severity == "info" and effect.severity != "info"):
        return False
    if cause.id in EFFECTS.get(effect.id, ()):
        # each can bring about the other: the one that began first did, the deeper one where both began together
        return (cause.first_step, _DEPTH[cause.id]) < (effect.first_step, _DEPTH[effect.id])
    return cause.first_step <= effect.first_step + slack(effect.first_step)


def order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings with ``because_of`` filled in and ranks 1..n: most probable root cause first, infos last.

    A root weighs as much as the gravest finding that goes back to it, so that the cause of a critical consequence comes
    before an unrelated warning.
    """
    found = {f.id: f for f in findings}
    parent: dict[str, str | None] = {}
    for effect in found.values():
        causes = [c for c in found.values() if c is not effect and brings_about(c, effect)]
        causes.sort(key=lambda c: (_DEPTH.get(c.id, len(_DEPTH)), c.first_step, c.id))
        parent[effect.id] = causes[0].id if causes else None
    weight = {id: SEVERITIES.index(f.severity) for id, f in found.items()}
    for id, f in found.items():
        root = _root(id, parent)
        weight[root] = max(weight[root], SEVERITIES.index(f.severity))

    def key(f: Finding) -> tuple:
        root = _root(f.id, parent)
        return (
            f.severity == "info",
            parent[f.id] is not None,
            -weight[f.id],
            _DEPTH.get(f.id, len(_DEPTH)),
            f.first_step,
            root,
            f.id,
        )

    ranked = sorted(found.values(), key=key)
    return tuple(replace(f, because_of=parent[f.id], rank=i) for i, f in enumerate(ranked, 1))


def _root(id: str, parent: dict[str, str | None]) -> str:
    seen = {id}
    while (above := parent[id]) is not None and above not in seen:
        id = above
        seen.add(id)
    return id
