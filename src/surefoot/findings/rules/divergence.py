"""``divergence``: the loss has left what the run has shown so far, upwards, and stays there.

Where the scale of a loss is understood (never negative, began near what a constant prediction scores), diverged means:
three quarters of the newest losses are above the first level plus all that had been gained plus three times the noise,
and twice as high as the best constant prediction, which needs no network at all.

Where it is not (returns that grow, adversaries that trade wins, several optimisers, losses below zero), a rising loss
is no fault: policy-gradient losses grow with the return, a generator's loss grows while its critic learns. There only
growth by orders of magnitude counts: three quarters of the newest losses a hundred times above everything the first 16
steps showed.

Where the loss is the negative of a loss function (it began near minus what a constant prediction scores), it is that
one which must not grow: it has doubled, beyond its noise.

Where every step is taken on one and the same batch, the loss is a function of the weights alone, and only steps can
raise it. A loss that has lost two orders of magnitude there, jumps about, and does not come back for a quarter of the
run, is unstable however low it still is. (Spikes of full-batch training at the edge of stability come back.)
"""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.decay import decayed
from surefoot.findings.history import History
from surefoot.findings.levels import ORDERS, WINDOW, LossLevel
from surefoot.findings.own_growth import own_growth
from surefoot.findings.progress import new_labels, one_loss
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.subtracted import subtracted
from surefoot.findings.slower import slower
from surefoot.findings.turned import given_back, grown, told_by_rewards
from surefoot.runs.schema import Evidence, Remedy

_MIN_ROWS = 6
_LOOKS, _STEPS = 4, 32
_FOR_LONG = 0.25  # of the run
_FEW = 3  # looks
_RISES = 4  # marks of the level, an eighth of the run apart
_TWICE = 2.0  # of its best
_FALLEN = 0.9  # of its first: as a loss that has learned
_APART = 4 * WINDOW  # rows from which on a mark has half of its own, at least, before that the medians overlap


@rule("divergence", needs=("printed", "step", "terms"))
def divergence(history: History) -> Sign | None:
    """Loss lost all it had gained and as much again, beyond its noise: critical. On one batch, two orders of magnitude
    of what it had gained, for a quarter of the run: warning. So is a loss that has climbed back to twice its best, and
    to half of its first, ever higher over the last third of the run, beyond its noise and twice as far as it ever
    climbed before, with no labels that are new; and, before any of this, weights that have grown to three times their
    length by the same share of themselves at each step; or an error that the script prints is twice as high as it
    began, or will be by the share of itself that it grows by, and the loss has climbed to twice its best, ever higher
    over a third of the run; or, where the loss tells nothing (a policy, a game), a number that the script prints, of
    which half of what was gained is lost; or a classification loss that is subtracted has grown to twice what it costs
    to know nothing. See the module."""
    for name, level in history.losses.items():
        sole = len(history.losses) == 1
        if not level.refreshed or level.count < _MIN_ROWS or (sole and _by_weights(history, level)):
            continue
        if level.recent <= level.first:
            sign = _climbs(history, name, level) or _falls_back(history, name, level)
            if sign is not None:
                return sign
            sign = None if level.lost_step is None else _lost_on_one_batch(history, name, level)
            if sign is not None:
                return sign
            continue
        threshold, source = _bound(level, sole and not _first_term_falls(history, level))
        if told_by_rewards(history):  # who plays longer wins more: a hundred times, and its square to a critic's error
            threshold = max(threshold, ORDERS**2 * abs(level.first))
        if not level.low > threshold > 0:
            sign = _falls_back(history, name, level)
            if sign is not None:
                return sign
        if level.low > threshold > 0:
            factor = level.recent / abs(level.first) if level.first else float("inf")
            cause = (
                f"the loss diverges: its recent median {level.recent:.3g} is {factor:.3g} times the first loss "
                f"{level.first:.3g}, after a best of {level.best:.3g}."
            )
            evidence = Evidence("loss", name, history.step, level.low, threshold, source)
            where = (name,) if name else ()
            if sole and history.optimizer(name).get("defaults", {}).get("maximize"):
                cause += " The optimizer was told to maximise it."
                return Sign("critical", cause, (evidence,), where, None, (remedies.DESCEND,))
            return Sign("critical", cause, (evidence,), where, None, _cures(history, name))
    return subtracted(history) or _grows_by_itself(history) or _both_rise(history) or _result_lost(history)


def _both_rise(history: History) -> Sign | None:
    """What is trained on rises, ever higher, and an error that the script prints has come away from where it began: no
    fit, and no fit by heart either. So it is where a model makes its own targets, which grow with what it says."""
    if len(history.losses) != 1 or new_labels(history):
        return None
    ((name, level),) = history.losses.items()
    rising = [recent for _, recent in level.marks[-_RISES:]]
    if level.negative or len(rising) < _RISES or sorted(set(rising)) != rising:
        return None
    found = grown(history) if level.low > 2 * level.best + level.best_noise else None
    if found is None:
        return None
    cause = (
        f"the loss rises, to {level.recent:.3g} from {level.best:.3g}, and no less from one eighth of the run to the "
        f"next; and {found.name}, which the script prints, with it, from {found.first:.3g} to {found.now:.3g} at least."
    )
    source = (
        "the run's own history: twice the highest of the first quarter, by the lowest of the newest; or the highest of "
        "the first third, where each third is above the one before by no smaller share than that was"
    )
    evidence = Evidence("printed_number", found.name, history.step, found.now, found.bound, source)
    return Sign("warning", cause, (evidence,), (name,) if name else (), found.step, _cures(history, name))


def _result_lost(history: History) -> Sign | None:
    """Where the loss tells nothing of how the run goes, as that of a policy or a game, what the script prints does."""
    levels = history.losses.values()
    tells = any(level.known for level in levels) or (len(levels) == 1 and _at_its_best(*levels))
    if tells and not told_by_rewards(history):
        return None  # a loss tells, or is at its best: what is lost then is overfitting's
    found = given_back(history)
    if found is None:
        return None
    cause = (
        f"what the run is for is lost again: {found.name} had come from {found.first:.3g} to {found.best:.3g} by step "
        f"{found.step}, and is no better than {found.now:.3g} in the newest quarter of the run."
    )
    source = "half of what was gained is lost, by the best of the newest quarter against the middle of one before"
    evidence = Evidence("printed_number", found.name, history.step, found.now, found.bound, source)
    name = next(iter(history.losses), "")
    return Sign("warning", cause, (evidence,), (), found.step, _cures(history, name))


def _at_its_best(level: LossLevel) -> bool:
    risen = level.low > _TWICE * level.best + 2 * level.best_noise > 0  # the noise of a loss that rises is large, too
    return not risen and level.near_best


def _by_weights(history: History, level: LossLevel) -> bool:
    """The script has made it another loss: with the weights that its terms began with it is no higher than it began,
    and half of what it is, at most. Where the values of several terms are not known: the weight of one of them has
    grown by more than the loss since that was best, so that the loss may have risen by it alone."""
    terms = [name for name in history.wheres("term_weight") if name]
    weights = {name: history.measured("term_weight", name) for name in terms}
    values = {name: history.value("term_value", name) for name in terms}
    unknown = [name for name in terms if not math.isfinite(values[name])]
    if not terms or not all(len(found) and found[-1] for _, found in weights.values()):
        return False
    if len(unknown) > 1:
        lowest = min(level.marks, key=lambda mark: mark[1])[0]
        return level.recent <= level.best * max(_grown_since(history, name, lowest) for name in unknown)
    for name in unknown:
        values[name] = level.recent - math.fsum(value for value in values.values() if math.isfinite(value))
    at_first = math.fsum(value * float(weights[name][1][0] / weights[name][1][-1]) for name, value in values.items())
    return at_first <= min(level.first, level.recent / 2)


def _grown_since(history: History, term: str, step: int) -> float:
    """How many times what it was last at a step the weight of a term is by now, if it goes on from its newest two looks
    as between them; 1 where it was nothing then, or is not known."""
    steps, weights = history.measured("term_weight", term)
    then = float(weights[max(0, int(np.searchsorted(steps, step, side="right")) - 1)]) if len(steps) > 1 else 0.0
    if not then > 0:
        return 1.0
    slope = (weights[-1] - weights[-2]) / (steps[-1] - steps[-2])
    return float((weights[-1] + slope * (history.step - steps[-1])) / then)


def _grows_by_itself(history: History) -> Sign | None:
    """Before the loss shows it: the weights grow by a share of themselves, which has no end."""
    for name in history.wheres("weight_norm"):
        found = own_growth(history, name)
        if found is not None:
            share, times = found
            cause = (
                f"the weights grow by themselves, {100 * share:.2g} % at each step, and are {times:.3g} times what "
                "they began with: most of each step points along the weights, where no gradient sends them for long."
            )
            source = "three times as long at one and the same share a step: such growth has no end"
            evidence = Evidence("weight_norm / its first", name, history.step, times, 3.0, source)
            cures = remedies.best_of((decayed(history), slower(history, name, 10.0), remedies.CLIP))
            return Sign("warning", cause, (evidence,), (name,) if name else (), None, cures)
    return None


def _cures(history: History, name: str) -> tuple[Remedy, ...]:
    """Shorter steps, bounded gradients, or a hold on weights that feed their own growth: the script tells which."""
    shorter = slower(history, name, 10.0)
    others = (str(remedies.lower_rate(10.0).apply), "warmup", "agc")
    return remedies.best_of((shorter, remedies.CLIP, decayed(history)), *others)


def _climbs(history: History, name: str, level: LossLevel) -> Sign | None:
    """What is lowered is the negative of a loss function, of which that loss is known to grow."""
    constant = level.constant
    if len(history.losses) != 1 or not constant > 0 or not -30 * constant <= level.first <= -0.3 * constant:
        return None
    bound = 2 * max(-level.first, constant) + 3 * level.best_noise
    if not -level.recent > bound:
        return None
    evidence = Evidence(
        "−loss", name, history.step, -level.recent, bound,
        "twice what it began with, and twice the loss of the best constant prediction; beyond three times the noise",
    )  # fmt: skip
    cause = (
        f"the loss diverges downwards, from {level.first:.3g} to {level.recent:.3g}: what is lowered is the negative "
        f"of a loss, of which a constant prediction has {constant:.3g}, so that every step climbs."
    )
    return Sign("critical", cause, (evidence,), (name,) if name else (), None, (remedies.DESCEND,))


def _falls_back(history: History, name: str, level: LossLevel) -> Sign | None:
    """Slowly, and without an end: what was learned is lost again, and each eighth of the run loses more of it."""
    if not one_loss(history) or not level.known or not level.recent >= 2 * level.best or len(level.marks) < _RISES:
        return None
    rising = [recent for _, recent in level.marks[-_RISES:]]
    if sorted(set(rising)) != rising or level.count < _APART:
        return None
    if not level.best < 0.7 * level.first <= 1.4 * level.recent:
        return None
    if level.low < level.best + level.best_noise or level.recent - level.best < 2 * _climbed_before(level):
        return None  # such losses, or such climbs, come and go
    lowest = min(level.marks, key=lambda mark: mark[1])[0]
    if any(until > lowest for _, until in new_labels(history)):
        return None  # it is the loss of other data
    if _of_another_kind(history, name) or _with_its_targets(history, name, level, lowest):
        return None
    cause = (
        f"the loss climbs back, to {level.recent:.3g} from {level.best:.3g}, and no less from one eighth of the run to "
        "the next: its steps do not descend."
    )
    source = "the run's own best: twice that, and half of the first loss; four marks in a row, each above the last"
    evidence = Evidence("loss", name, history.step, level.recent, 2 * level.best, source)
    where = (name,) if name else ()
    return Sign("warning", cause, (evidence,), where, level.marks[-_RISES][0], _cures(history, name))


def _with_its_targets(history: History, name: str, level: LossLevel, lowest: int) -> bool:
    """What a constant scores has risen as much as the loss since its ``lowest``: targets that a model makes itself, as
    by temporal differences, spread as it learns."""
    steps, (losses, constants) = history.together(("loss", name), ("constant_loss", name))
    then = constants[steps <= max(lowest, steps[:_FEW].max(initial=0))][-_FEW:]
    if len(steps) < 2 * _FEW or not np.median(then) > 0:
        return False
    share = float(np.median(losses[-_FEW:]) / np.median(constants[-_FEW:]))
    return share <= level.best / float(np.median(then))


def _of_another_kind(history: History, name: str) -> bool:
    """A loss function whose best constant was known at looks before is another one at the newest two: it is not."""
    looks, known = (history.measured(signal, name)[0] for signal in ("update_norm", "constant_loss"))
    return len(looks) > 1 and len(known) > 0 and bool(known[-1] < looks[-2])


def _climbed_before(level: LossLevel) -> float:
    """The highest climb of the level, from its lowest so far, before it was at its best; in the newest three quarters
    of the run, for at first medians are of few rows, and a run finds its feet."""
    marks = np.array([recent for at, recent in level.marks if at >= level.first_step + level.steps / 4])
    fallen = marks[: int(np.argmin(marks)) + 1] if len(marks) else marks
    return float((fallen - np.minimum.accumulate(fallen)).max(initial=0.0))


def _lost_on_one_batch(history: History, name: str, level: LossLevel) -> Sign | None:
    assert level.lost_step is not None
    _, distinct = history.series("distinct_batches", name)
    distinct = distinct[distinct == distinct]
    if len(distinct) < _LOOKS or distinct[-1] != 1 or level.negative or level.noise < 0.25 * level.recent:
        return None
    if history.step - level.lost_step < max(_STEPS, _FOR_LONG * history.step):
        return None
    cause = (
        f"the loss on one and the same batch was down to {level.best:.3g}, and has been about {level.recent:.3g} since "
        f"step {level.lost_step}: nothing but the steps themselves can have raised it."
    )
    source = "the run's own best: a hundred times that; compared with the lower quartile of the newest losses"
    evidence = Evidence("loss", name, history.step, level.low, ORDERS * level.best, source)
    cures = remedies.best_of((remedies.lower_rate(4.0), remedies.CLIP), "agc")
    return Sign("warning", cause, (evidence,), (name,) if name else (), level.lost_step, cures)


def _first_term_falls(history: History, level: LossLevel) -> bool:
    """The term that was most of the loss at first has lost a tenth, and others lift the sum above where it began, at
    the newest look at all of them: terms that began next to nothing, so that the first loss says nothing of their size.
    (A codebook's distance, of what the model makes from what it makes, grows until the codes are found.)"""
    names = [name for name in history.wheres("term_value") if name]
    if len(names) < 2:
        return False
    steps, columns = history.together(*(("term_value", name) for name in names))
    if len(steps) < 2:
        return False
    first, newest = np.array([column[0] for column in columns]), np.array([column[-1] for column in columns])
    most = int(np.argmax(first))
    return bool(
        first[most] > 0.5 * np.abs(first).sum()
        and newest[most] < _FALLEN * first[most]
        and newest.sum() > max(level.first, first.sum())
    )


def _bound(level: LossLevel, understood: bool) -> tuple[float, str]:
    if level.known and understood:
        gained = max(0.0, level.first - level.best)
        bound = max(level.first + gained + 3 * level.best_noise, 2 * level.base)
        return bound, (
            "the run's own history: first loss + all that was gained + 3 × noise, and twice the loss of the best "
            "constant prediction; compared with the lower quartile of the newest losses"
        )
    scale = max(level.early_size, 3 * level.noise if level.noise < level.early_size else 0.0)
    return ORDERS * scale, (
        "a hundred times the largest of the first 16 losses, signs apart (the scale of this loss is not known: it may "
        "rise in a healthy run); compared with the lower quartile of the newest losses"
    )
