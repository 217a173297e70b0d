"""``posterior-collapse``: a variational encoder whose code says nothing, and a decoder that does without.

The loss is an error plus β times the code's divergence from the prior, so that a code is kept only where it saves more
error than it costs. How much that can be is known from the start: an error is never below 0.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.generative import stretch
from surefoot.findings.rules.growing_weight import GROWN, bounds
from surefoot.findings.rules.loss_terms import ERRORS
from surefoot.findings.rules.term_cures import kind_of
from surefoot.runs.schema import Evidence, Remedy, Severity

_STEPS, _BORN_BY = 200, 500  # steps that an encoder has to find its first code: no theory tells how many it takes
_NEXT_TO_NOTHING = 0.1  # nats
_EIGHT = 8.0  # three halvings
_EARLY, _NONE = 64, 0.005  # steps, and the nats that a mean of variance 0.01 costs: below, no dimension is active
FREE_BITS = Remedy(
    name="free nats",
    why="below half a nat a latent dimension costs nothing, so that it pays to begin to use it",
    how=(
        "# after: loss\n"
        "import torch\n"
        "def divergence(mu, logvar, free_nats=0.5):\n"
        "    by_dimension = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)\n"
        "    return by_dimension.clamp_min(free_nats).sum()\n"
    ),
)
KL_SCALE = Remedy(
    name="divergence and likelihood in one unit",
    why="the evidence bound sums both over a sample, and a squared error counts with 1/(2σ²), σ² the error itself: "
    "averages in the place of sums drown the likelihood",
    how=(
        "# after: model\n"
        "def kl_scale(squared_error, sample):  # loss = reconstruction + kl_scale(reconstruction, x[0]) * divergence\n"
        "    # where the error is averaged over batch and entries, and the divergence summed over its dimensions\n"
        "    return float(2 * squared_error.detach() / sample.numel())\n"
    ),
    apply="kl-scale",
)
KL_WARMUP = Remedy(
    name="a KL weight that grows from 0",
    why="the decoder learns to use the latent variables before they cost anything",
    how=(
        "# after: loss\n"
        "def kl_weight(step, warmup=1000):\n"
        "    return min(1.0, step / warmup)  # loss = reconstruction + kl_weight(step) * divergence\n"
    ),
)


@rule("posterior-collapse", needs=("latent",))
def posterior_collapse(history: History) -> Sign | None:
    """No latent dimension varies with the input: at three looks at least, over half of the run and 200 steps of it.

    Active is a dimension whose posterior mean has a variance above 0.01 over the data. Some inactive dimensions are
    healthy: they are what the data do not need. Critical where the loss fell all the same: the decoder does without.
    Info where the divergence is above 0.1 nats or on the rise, for a code may be born late, and before step 500 unless
    the divergence has fallen over each of the last three doublings of the time: the trough before a birth is shorter.

    Nor half of the run where there was a code, and it has died: its divergence fell over each of the last three
    doublings of the time, to less than 0.1 nats. A weight that grows takes every code away in the end.

    Warning before any of this where a code had been born, with eight times the nats of the first look and of 0.1, and
    has fallen below 0.1 with half of its dimensions lost: no quiet of a start. And from step 200 on where an eighth of
    a code is left at three looks, and half of its dimensions: of such a code, or of one whose divergence fell over each
    of the last three doublings of the time, and was halved by each of the last two.

    Nor longer than 64 steps where it fell so from 0.1 nats or more to less than 0.005, which no active dimension can do
    with: the weight of the divergence is at work, and not the quiet of a start.

    No such waiting where no code can pay: of a loss that is an error and β times the divergence (both seen, and β the
    same at three looks) a code of more nats than the whole loss over β costs more than it could ever save, for no error
    is below 0. Where that is below 0.1 nats, the model without a code is the best there is.
    """
    for name in history.wheres("active_units_share"):
        steps, active = history.measured("active_units_share", name)
        _, nats = history.measured("latent_kl", name)
        if len(steps) < 3 or steps[-1] != history.step:
            continue
        affordable = _affordable_code(history, name)
        hopeless = affordable < _NEXT_TO_NOTHING
        began = stretch(steps, active == 0, 3)
        if began is None and not active[-3:].any() and nats[-1] < _NEXT_TO_NOTHING and _dying(steps, nats):
            began = int(steps[np.flatnonzero(active)[-1] + 1])
        fell = nats[-1] < _NONE and nats.max() >= _NEXT_TO_NOTHING
        gone = history.step >= _EARLY and fell and _dying(steps, nats)
        if began is None and (_died(nats, active) or (history.step >= _STEPS and _fades(steps, nats, active))):
            return _fading(history, name, steps, nats, active)
        if began is None or (history.step < _STEPS and not hopeless and not gone):
            continue
        severity: Severity = "critical" if history.learned else "warning"
        # a code that is being born says little and more from look to look
        young = history.step < _BORN_BY and not _dying(steps, nats)
        born = young or nats[-1] > 2 * nats.min() + 1e-3
        if nats[-1] > _NEXT_TO_NOTHING or (born and not hopeless):
            severity = "info"
        evidence: tuple[Evidence, ...] = (
            Evidence("active_units_share", name, int(steps[-1]), 0.0, 0.0,
                     "a dimension is active if its mean varies by more than 0.01 (Burda et al. 2016)"),
            Evidence("latent_kl", name, int(steps[-1]), float(nats[-1]), _NEXT_TO_NOTHING,
                     "the code says next to nothing"),
        )  # fmt: skip
        cause = (
            f"the latent variables say nothing of the input: none of them varies with it, and the posterior is "
            f"{nats[-1]:.2g} nats from the prior in all."
        )
        if hopeless:
            source = "a code of more nats costs more than it could save, for no error is below 0"
            place = "loss / weight of the divergence"
            evidence = (*evidence, Evidence(place, "", int(steps[-1]), affordable, _NEXT_TO_NOTHING, source))
            cause += f" No code of more than {affordable:.2g} nats could pay: the divergence weighs too much."
        return Sign(severity, cause, evidence, (name,) if name else (), began, _cures(history, steps, nats))
    return None


def _fades(steps: np.ndarray, nats: np.ndarray, active: np.ndarray) -> bool:
    """An eighth of the code is left at three looks, and half of its dimensions: a weight that is raised in time makes
    each of them cheaper, and keeps all. The code had been born, or goes to nothing."""
    lost = nats[-3:].max() <= nats.max() / _EIGHT and active[-3:].max() <= 0.5 * active.max()
    return bool(lost and (_grown(nats) or _halves(steps, nats)))


def _halves(steps: np.ndarray, nats: np.ndarray) -> bool:
    """What halves with each doubling of the time goes to nothing, and a code that costs what it saves does not: it
    stays where the two are even."""
    at = [np.searchsorted(steps, steps[-1] / 2**doublings, side="right") - 1 for doublings in range(3)]
    halved = at[-1] >= 0 and all(nats[now] <= 0.5 * nats[before] for now, before in pairwise(at))
    return bool(halved and _dying(steps, nats))


def _grown(nats: np.ndarray) -> bool:
    return bool(nats.max() >= _EIGHT * max(nats[0], _NEXT_TO_NOTHING))


def _died(nats: np.ndarray, active: np.ndarray) -> bool:
    """A code that had been born, eight times what it said at first, says next to nothing; none is about to be born."""
    silent = nats[-1] < _NEXT_TO_NOTHING and active[-1] <= 0.5 * active.max()
    return bool(_grown(nats) and silent and nats[-1] < nats[-2])


def _fading(history: History, name: str, steps: np.ndarray, nats: np.ndarray, active: np.ndarray) -> Sign:
    began = int(steps[int(nats.argmax())])
    evidence = (
        Evidence("latent_kl", name, int(steps[-1]), float(nats[-1]), float(nats.max()) / _EIGHT,
                 "an eighth of what the code said at its best"),
        Evidence("active_units_share", name, int(steps[-1]), float(active[-1]), 0.5 * float(active.max()),
                 "half of the dimensions that varied with the input vary no more (Burda et al. 2016)"),
    )  # fmt: skip
    cause = (
        f"the latent variables say less and less of the input: {nats.max():.3g} nats at step {began}, {nats[-1]:.2g} "
        f"now: what the code costs has outgrown what it saves."
    )
    return Sign("warning", cause, evidence, (name,) if name else (), began, _cures(history, steps, nats))


def _cures(history: History, steps: np.ndarray, nats: np.ndarray) -> tuple[Remedy, ...]:
    """Where the weight of a term has grown to four times what it was when the code said most: it may stay what it was.
    Else the weight that the evidence bound has."""
    usual = (KL_SCALE, KL_WARMUP, FREE_BITS)
    best = steps[int(nats.argmax())]
    for term in history.wheres("term_weight"):
        at, weights = history.measured("term_weight", term)
        well = weights[at <= best]
        if len(well) and weights[-1] >= max(GROWN * well[-1], weights.max()) and well[-1] > 0:
            return bounds(well, usual)
    return usual


def _dying(steps: np.ndarray, nats: np.ndarray) -> bool:
    at = [np.searchsorted(steps, steps[-1] / 2**doublings, side="right") - 1 for doublings in range(4)]
    return bool(at[-1] >= 0 and (np.diff(nats[at]) > 0).all())


def _affordable_code(history: History, name: str) -> float:
    """The most nats that a code may have and lower the loss: all of the loss over the weight of the divergence.

    The weight is what the errors among the loss's terms leave of it, over the divergence; infinite where it is not
    known, or not the same (within a tenth) at the newest three looks that tell it.
    """
    if len(history.losses) != 1:
        return np.inf
    ((optimizer, level),) = history.losses.items()
    losses = dict(zip(*history.series("loss", optimizer), strict=True))
    nats = dict(zip(*history.measured("latent_kl", name), strict=True))
    errors: dict[int, float] = {}
    for term in history.wheres("term_value"):
        if kind_of(term) in ERRORS:
            for step, value in zip(*history.measured("term_value", term), strict=True):
                errors[step] = errors.get(step, 0.0) + value
    known = [step for step in errors if nats.get(step, 0.0) > 0 and np.isfinite(losses.get(step, np.nan))][-3:]
    weights = np.array([(losses[step] - errors[step]) / nats[step] for step in known])
    if len(known) < 3 or not weights.min() > 0 or weights.max() > 1.1 * weights.min() or level.negative:
        return np.inf
    return level.recent / float(weights.min())
