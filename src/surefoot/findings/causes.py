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
            "attention-logit-growth",
            "rank-collapse",
            "bptt-explosion",
            "always-clipping",
            "amp-step-skipping",
            "loss-spike",
            "output-logit-divergence",
            "stalled",
            "unsafe-step",
            "adversarial-rotation",
            "mode-collapse",
            "posterior-collapse",
        }
    ),
    "rank-desync": frozenset({"learning-rate-too-low", "divergence", "stalled"}),
    "double-softmax": frozenset({"learning-rate-too-low", "vanishing-gradient", "stalled"}),
    # an optimiser that holds others in the place of those that the loss depends on (a copy's) finds no gradient in
    # them; an encoder, or a player, that does not learn has nothing to say
    "optimizer-misses-parameters": frozenset(
        {
            "detached-parameters",
            "learning-rate-too-low",
            "vanishing-gradient",
            "stalled",
            "mode-collapse",
            "posterior-collapse",
        }
    ),
    "detached-parameters": frozenset(
        {"learning-rate-too-low", "vanishing-gradient", "divergence", "stalled", "mode-collapse", "posterior-collapse"}
    ),
    "zero-variance-groups": frozenset(
        {
            "divergence",
            "epsilon-dominated-update",
            "exploding-gradient",
            "learning-rate-too-low",
            "stalled",
            "vanishing-gradient",
        }
    ),
    # normalisation by statistics that no longer follow the weights is none, and steps that it forgave are too long
    "eval-mode-training": frozenset(
        {
            "overfitting",
            "divergence",
            "exploding-gradient",
            "stalled",
            "learning-rate-too-high",
            "unsafe-step",
            "loss-spike",
            "dead-units",
            "non-finite",
        }
    ),
    "broadcast-loss": frozenset({"learning-rate-too-low", "vanishing-gradient", "stalled"}),
    "stale-batch": frozenset(
        {"overfitting", "stalled", "naive-loss-minimisation", "output-logit-divergence", "softmax-collapse"}
    ),
    "unscaled-inputs": frozenset(
        {
            "bad-batch",
            "exploding-gradient",
            "learning-rate-too-high",
            "learning-rate-too-low",
            "divergence",
            "dead-units",
            "saturated-units",
            "vanishing-gradient",
            "non-finite",
            "loss-spike",
            "stalled",
            "off-critical-initialisation",
            "always-clipping",
            "amp-step-skipping",
            "attention-logit-growth",
            "bptt-explosion",
            "epsilon-dominated-update",
            "loss-term-imbalance",
            "low-precision-overflow",
            "low-precision-underflow",
            "mode-collapse",
            "output-logit-divergence",
            "rank-collapse",
            "softmax-collapse",
            "unsafe-step",
            "posterior-collapse",
        }
    ),
    "bad-batch": frozenset(
        {
            "exploding-gradient",
            "learning-rate-too-high",
            "divergence",
            "dead-units",
            "saturated-units",
            "vanishing-gradient",
            "non-finite",
            "loss-spike",
            "unsafe-step",
            "always-clipping",
            "amp-step-skipping",
            "attention-logit-growth",
            "bptt-explosion",
            "low-precision-overflow",
            "output-logit-divergence",
        }
    ),
    # few samples say how long a step may be
    "opposing-outliers": frozenset(
        {"learning-rate-too-high", "unsafe-step", "loss-spike", "divergence", "exploding-gradient", "dead-units"}
    ),
    # where the next class begins, what was learned of the one before is worse than knowing nothing
    "unshuffled-data": frozenset(
        {
            "bad-batch",
            "loss-spike",
            "divergence",
            "stalled",
            "learning-rate-too-high",
            "overfitting",
            "dead-units",
            "exploding-gradient",
            "output-logit-divergence",
            "saturated-units",
            "unsafe-step",
            "vanishing-gradient",
        }
    ),
    # where the divergence's weight is what drowns the other terms, this says what has become of the model
    "posterior-collapse": frozenset({"vanishing-gradient", "learning-rate-too-low", "stalled"}),
    # one term's size sets the size of all gradients: what is too long a step, or too far a weight, is so for it; where
    # its weight grows, the sum rises
    "loss-term-imbalance": frozenset(
        {
            "stalled",
            "learning-rate-too-low",
            "learning-rate-too-high",
            "saturated-units",
            "dead-units",
            "divergence",
            "always-clipping",
        }
    ),
    "off-critical-initialisation": frozenset(
        {
            "vanishing-gradient",
            "exploding-gradient",
            "learning-rate-too-high",
            "learning-rate-too-low",
            "divergence",
            "dead-units",
            "saturated-units",
            "non-finite",
            "stalled",
            "always-clipping",
            "attention-logit-growth",
            "bptt-explosion",
            "loss-spike",
            "low-precision-overflow",
            "low-precision-underflow",
            "output-logit-divergence",
            "rank-collapse",
            "softmax-collapse",
            "unsafe-step",
            "posterior-collapse",
        }
    ),
    "bptt-explosion": frozenset(
        {
            "exploding-gradient",
            "learning-rate-too-high",
            "always-clipping",
            "divergence",
            "saturated-units",
            "loss-spike",
            "non-finite",
            "stalled",
            "softmax-collapse",
        }
    ),
    "rank-collapse": frozenset({"vanishing-gradient", "learning-rate-too-low", "stalled"}),
    "unstable-gating": frozenset(
        {
            "exploding-gradient",
            "learning-rate-too-high",
            "divergence",
            "non-finite",
            "bptt-explosion",
            "loss-spike",
            "saturated-units",
            "stalled",
            "unsafe-step",
        }
    ),
    "surrogate-mismatch": frozenset({"vanishing-gradient", "exploding-gradient", "learning-rate-too-low", "stalled"}),
    "hyperbolic-collapse": frozenset({"vanishing-gradient", "learning-rate-too-low", "stalled"}),
    "exploding-gradient": frozenset(
        {
            "learning-rate-too-high",
            "divergence",
            "dead-units",
            "saturated-units",
            "vanishing-gradient",
            "non-finite",
            "low-precision-overflow",
            "amp-step-skipping",
            "loss-spike",
            "stalled",
            "unsafe-step",
            "softmax-collapse",
        }
    ),
    # what is off, or flat, for every input answers all inputs alike
    "saturated-units": frozenset(
        {"vanishing-gradient", "learning-rate-too-low", "frozen-parameters", "stalled", "rank-collapse"}
    ),
    "dead-units": frozenset(
        {"vanishing-gradient", "learning-rate-too-low", "frozen-parameters", "stalled", "rank-collapse"}
    ),
    "vanishing-gradient": frozenset(
        {
            "learning-rate-too-low",
            "dead-units",
            "saturated-units",
            "low-precision-underflow",
            "epsilon-dominated-update",
            "stalled",
        }
    ),
    "low-precision-underflow": frozenset(
        {
            "frozen-parameters",
            "vanishing-gradient",
            "learning-rate-too-low",
            "output-logit-divergence",
            "epsilon-dominated-update",
            "stalled",
        }
    ),
    "frozen-parameters": frozenset(
        {
            "learning-rate-too-low",
            "vanishing-gradient",
            "epsilon-dominated-update",
            "stalled",
            "divergence",
            "mode-collapse",
            "posterior-collapse",
        }
    ),
    # a player whose schedule is over stands still, and the other one goes on: a fact, where a rotation is a course
    "scheduler-misuse": frozenset(
        {
            "learning-rate-too-low",
            "learning-rate-too-high",
            "loss-spike",
            "stalled",
            "attention-logit-growth",
            "dead-units",
            "divergence",
            "exploding-gradient",
            "non-finite",
            "saturated-units",
            "unsafe-step",
        }
    ),
    "adversarial-rotation": frozenset({"mode-collapse", "dead-units", "exploding-gradient", "divergence", "stalled"}),
    "mode-collapse": frozenset({"adversarial-rotation", "dead-units", "exploding-gradient", "stalled"}),
    "always-clipping": frozenset({"epsilon-dominated-update", "learning-rate-too-low", "stalled"}),
    "epsilon-dominated-update": frozenset({"learning-rate-too-low", "stalled"}),
    "naive-loss-minimisation": frozenset({"softmax-collapse", "output-logit-divergence"}),
    # a softmax does not see what all logits share: its collapse drives no drift of that, which costs it its precision
    "output-logit-divergence": frozenset(
        {"loss-spike", "divergence", "low-precision-overflow", "non-finite", "softmax-collapse"}
    ),
    "softmax-collapse": frozenset(
        {
            "output-logit-divergence",
            "loss-spike",
            "divergence",
            "stalled",
            "epsilon-dominated-update",
            "learning-rate-too-high",
        }
    ),
    "learning-rate-too-high": frozenset(
        {
            "exploding-gradient",
            "divergence",
            "dead-units",
            "saturated-units",
            "vanishing-gradient",
            "non-finite",
            "attention-logit-growth",
            "rank-collapse",
            "bptt-explosion",
            "unsafe-step",
            "loss-spike",
            "stalled",
            "output-logit-divergence",
            "low-precision-overflow",
            "amp-step-skipping",
            "always-clipping",
            "mode-collapse",
            "softmax-collapse",
            "posterior-collapse",
        }
    ),
    "unsafe-step": frozenset(
        {
            "learning-rate-too-high",
            "exploding-gradient",
            "divergence",
            "dead-units",
            "saturated-units",
            "vanishing-gradient",
            "non-finite",
            "loss-spike",
            "attention-logit-growth",
        }
    ),
    "loss-spike": frozenset({"divergence", "dead-units", "saturated-units", "exploding-gradient", "non-finite"}),
    "attention-logit-growth": frozenset(
        {
            "rank-collapse",
            "exploding-gradient",
            "vanishing-gradient",
            "divergence",
            "loss-spike",
            "non-finite",
            "softmax-collapse",
            "stalled",
        }
    ),
    "low-precision-overflow": frozenset({"non-finite", "amp-step-skipping", "divergence", "stalled"}),
    # a scale that was halved down to zero has no inverse: the step that is taken then makes NaN of all weights
    "amp-step-skipping": frozenset(
        {"divergence", "frozen-parameters", "learning-rate-too-low", "non-finite", "stalled"}
    ),
    "divergence": frozenset(
        {"exploding-gradient", "dead-units", "saturated-units", "vanishing-gradient", "non-finite", "stalled"}
    ),
    "non-finite": frozenset({"dead-units", "saturated-units", "divergence", "exploding-gradient", "amp-step-skipping"}),
    "learning-rate-too-low": frozenset({"stalled"}),
}
_DEPTH = {id: i for i, id in enumerate(EFFECTS)}
_LOST_UNITS, _LONG_STEPS = ("dead-units", "saturated-units"), ("learning-rate-too-high", "unsafe-step")
_AT_START = 8  # the first four looks: what is lost there was so when training began


def slack(step: int) -> int:
    """How many steps later than its effect a cause may show: looks are sparse, at steps 1, 2, 4, 8, … at first."""
    return max(2, step // 8)


def brings_about(cause: Finding, effect: Finding) -> bool:
    """``cause`` can be why ``effect`` is there: the graph has the edge, and it began no later."""
    if effect.id not in EFFECTS.get(cause.id, ()) or (cause.severity == "info" and effect.severity != "info"):
        return False
    late = cause.first_step - effect.first_step
    if (cause.id, effect.id) == ("attention-logit-growth", "softmax-collapse"):
        # attention has no entropy but by its logits; the two are told by bounds of their own, in whichever order
        return not set(cause.where).isdisjoint(effect.where)
    if {cause.id, effect.id} == {"softmax-collapse", "learning-rate-too-high"}:
        # a choice that is certain in weights as they were drawn comes of no step, and makes each of them a leap
        collapse = cause if cause.id == "softmax-collapse" else effect
        return (collapse.first_step <= 1) == (cause is collapse)
    if {cause.id, effect.id} == set(_LONG_STEPS) and any(map(_by_the_rate, (cause, effect))):
        return cause.id == "learning-rate-too-high"
    if {cause.id, effect.id} == {"amp-step-skipping", "non-finite"}:
        # gradients that overflow under a loss that is finite are no effect of it; a loss that is NaN lets every step go
        skipping, lost = (cause, effect) if cause.id == "amp-step-skipping" else (effect, cause)
        return (skipping.detected_step < lost.first_step) == (cause is skipping)
    if cause.id in EFFECTS.get(effect.id, ()):
        # each can bring about the other: the one that began first did, the deeper one where both began together, as
        # far as looks tell; a step that was too long needs none
        measured = "unsafe-step" in (cause.id, effect.id) or any(map(_by_its_promise, (cause, effect)))
        unsure = 0 if measured else slack(min(cause.first_step, effect.first_step))
        return _DEPTH[cause.id] < _DEPTH[effect.id] if abs(late) <= unsure else late < 0
    if effect.id in _LOST_UNITS and effect.first_step > _AT_START and cause.id in _LONG_STEPS:
        # units that were there at first die by steps that were too long before a loss could show it
        return cause.first_step <= effect.detected_step
    return late <= slack(effect.first_step)


def _by_its_promise(rate: Finding) -> bool:
    """Whether a rate was seen to be too high by what single steps promised, of which each has its own number."""
    return rate.id == "learning-rate-too-high" and any(e.signal.startswith("predicted_decrease") for e in rate.evidence)


def _by_the_rate(step: Finding) -> bool:
    """Whether a step was unsafe for its rate, which was far above all before: it was the first of many."""
    return step.id == "unsafe-step" and any(e.signal.startswith("learning_rate") for e in step.evidence)


def _since_the_rate_rose(found: dict[str, Finding]) -> dict[str, Finding]:
    """A rate is too high since the first step that it made unsafe."""
    rate, step = (found.get(id) for id in _LONG_STEPS)
    if rate is None or step is None or not _by_the_rate(step):
        return found
    return {**found, rate.id: replace(rate, first_step=min(rate.first_step, step.first_step))}


def order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings with ``because_of`` filled in and ranks 1..n: most probable root cause first, infos last.

    A root weighs as much as the gravest finding that goes back to it, so that the cause of a critical consequence comes
    before an unrelated warning.
    """
    found = {f.id: f for f in findings}
    parent: dict[str, str | None] = {}
    began = _since_the_rate_rose(found)
    for effect in began.values():
        causes = [c for c in began.values() if c is not effect and brings_about(c, effect)]
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
