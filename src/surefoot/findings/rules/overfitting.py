"""``overfitting``: the validation loss has risen for long, while the training loss went on falling.

A validation loss that rises a little after its best is what every long run shows, and why runs are stopped early; it
may even come back (grokking does, after a rise far above a constant's loss). So it takes much for a warning: the best
lies in the first half of the evaluations, no less than six ago, and a tenth of what there is to explain is lost; or all
of this will be so after as many evaluations again as there have been since the best, at the pace of the rise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from surefoot.analysis.printed_numbers import direction, held_out, of_a_game, of_an_accuracy
from surefoot.findings.decay import halved_each
from surefoot.findings.history import History
from surefoot.findings.levels import ORDERS, LossLevel
from surefoot.findings.progress import HEARD
from surefoot.findings.remedies import best_of
from surefoot.findings.rule import Sign, rule
from surefoot.findings.scatter import scatter
from surefoot.findings.turned import Turned, trained, turned
from surefoot.runs.schema import SEVERITIES, Evidence, Remedy, Severity

_LEAST, _FEW, _MANY = 3, 6, 12  # evaluations, in a row or since the best
_HALVED = (8, 2)  # times in the run so far, by a decay: what the loss does not hold up
_DROPPED = (0.2, 0.5)  # of what enters a layer: as usual in front of small and of large ones
_TREND = 3.0  # deviations
_LOST = 0.1  # of the loss of a constant prediction
_TENTH = 0.1  # of the weights
_HALF, _SLACK = 0.5, 0.1  # of all rows; of what was left to be gained
_SOURCE = (
    "the run's own best evaluation, its evaluation-to-evaluation noise, and a tenth of what a constant prediction loses"
)
STOP_EARLY = Remedy(
    name="surefoot.optim.EarlyStopping",
    why="what was best on data the model never saw is kept, whatever training would make of it afterwards",
    how=(
        "# after: model\n"
        "from surefoot.optim import EarlyStopping\n"
        "stopping = EarlyStopping(model)\n"
        "# after each evaluation: if stopping.update(validation_loss): break; after the loop: stopping.restore()\n"
    ),
    apply="early-stopping",
)
DROPOUT = Remedy(
    name="torch.nn.Dropout in front of the last layers",
    why="units that come and go at random can't share what is learned by heart; in training only, so call eval() first "
    "where you evaluate",
    how=(
        "# after: model\n"
        "import torch\n"
        "def drop(module, args):  # better: torch.nn.Dropout(0.5) in front of each layer but the first\n"
        "    training = module.training and torch.is_grad_enabled()\n"
        "    return (torch.nn.functional.dropout(args[0], 0.5, training), *args[1:])\n"
        "for module in [m for m in model.modules() if isinstance(m, torch.nn.Linear)][1:]:\n"
        "    module.register_forward_pre_hook(drop)\n"
    ),
    apply="dropout",
)


@rule("overfitting", needs=("printed", "validation"))
def overfitting(history: History) -> Sign | None:
    """The last three evaluations are above the best by more than four times the noise, or once it where values since
    rise by three deviations of Kendall's count, and above the training loss, which is at its best and has fallen since:
    a gap between the two that opened. Where training itself went wrong, or where one term of the loss rises while the
    whole does not fall, there is none.

    Info from six evaluations after the best on. A warning if the best lies in the first half of them, a quarter of its
    value is lost, or of what it was better than a constant prediction by, and a tenth of what that loses (of the first
    evaluation, where it is unknown), or if the rise since is on the way there (see the module); a tenth of what it was
    better by is enough once the training loss is a hundredth of it and no weight decays; or if it has become worse than
    a constant, after it had been better by a tenth. Never critical: it may come back.

    A warning, too, where nothing rises: the training loss is a hundredth of a validation loss that explains less than
    half of what there is, and has not got better in half of the evaluations, twelve at least; no weight decays.

    So do three evaluations in a row that are worse than a constant, and rise, at a hundredth of the training loss.

    Where no such loss is seen, a number that the script prints serves: one of held-out data by its name, or an accuracy
    or an error, that has turned (see ``turned.py``): warning. So does an accuracy that is half below what the training
    loss says of the training data's, and no better in the newest half of twelve values or more than before.
    """
    for where in history.wheres("validation_loss"):
        sign = _overfits(history, where)
        if sign is None or sign.severity == "info":
            sign = _by_heart(history, where) or _apart(history, where) or _worse_than_nothing(history, where) or sign
        if sign is not None:
            return sign
    if history.looks("validation_loss"):
        return None
    found = turned(history, _of_quality)
    return _gap(history) if found is None else _turned(history, found)


def _by_heart(history: History, where: str) -> Sign | None:
    """All that was left to be learned was learned by heart: no gradient is left that validation could come down by."""
    steps, values = history.measured("validation_loss", where)
    level = next((level for level in history.losses.values() if level.count), None)
    if level is None or len(history.losses) != 1 or len(values) < 2 * _MANY or not level.known or _decays(history):
        return None
    half = len(values) // 2
    changes = np.diff(values[half:])
    noise = scatter(changes, about=0.0)
    best, recent = float(values[:half].min()), float(np.median(values[half:]))
    better = best - float(values[half:].min()) > 4 * noise
    explains = HEARD * level.constant >= recent >= 0.5 * level.constant
    if better or not explains or not ORDERS * level.recent < recent:
        return None
    evidence = (
        Evidence("validation_loss", where, int(steps[-1]), recent, 0.5 * level.constant,
                 "half of what a constant prediction loses is not explained, and no less since half of the run"),
        _by_heart_alone(level, recent),
    )  # fmt: skip
    cause = (
        f"the training data are learned by heart (loss {level.recent:.3g}), and the validation loss has stayed at "
        f"{recent:.3g} since step {steps[half]}, where a constant prediction has {level.constant:.3g}."
    )
    return Sign(_severity(history), cause, evidence, (), int(steps[half]), _cures(history))


def _by_heart_alone(level: LossLevel, validation: float) -> Evidence:
    source = "a hundredth of that on data the model never saw: it was learned by heart"
    return Evidence("loss", "", level.newest_step, level.recent, validation / ORDERS, source)


def _worse_than_nothing(history: History, where: str) -> Sign | None:
    """A few evaluations are enough where knowing nothing would be better on data the model never saw, at a hundredth of
    their loss on those it trains on, and more so from one to the next."""
    steps, values = history.measured("validation_loss", where)
    level = next((level for level in history.losses.values() if level.count), None)
    if level is None or len(history.losses) != 1 or len(values) < _LEAST or not level.known:
        return None
    newest = values[-_LEAST:]
    worse = newest.min() > level.constant and bool((np.diff(newest) > 0).all())
    if not (worse and level.near_best and ORDERS * level.recent < newest[-1]) or _decays(history, _TENTH):
        return None
    evidence = (
        Evidence("validation_loss", where, int(steps[-1]), float(newest[-1]), level.constant,
                 "what a constant prediction loses, of which the model had no need to be worse"),
        _by_heart_alone(level, float(newest[-1])),
    )  # fmt: skip
    cause = (
        f"the training data are learned by heart (loss {level.recent:.3g}), and on data it never saw the loss has "
        f"risen to {newest[-1]:.3g}, where a constant prediction has {level.constant:.3g}."
    )
    return Sign(_severity(history), cause, evidence, (), int(steps[-_LEAST]), _cures(history))


def _apart(history: History, where: str) -> Sign | None:
    """What is learned for half of the run is learned by heart: all that training gains, it gains alone."""
    steps, values = history.measured("validation_loss", where)
    name, level = next(((name, lv) for name, lv in history.losses.items() if lv.count), ("", None))
    if level is None or len(history.losses) != 1 or len(values) < _MANY or not level.known or _decays(history, _TENTH):
        return None
    half = len(values) // 2
    best, recent = float(values[:half].min()), float(np.median(values[half:]))
    gained = trained(history, name, int(steps[half])) - level.recent
    if not (best <= float(values[half:].min()) and best <= HEARD * level.constant and recent <= level.constant):
        return None
    if not (gained >= max(_LOST * level.constant, 2 * level.noise) and recent - level.recent >= _HALF * level.constant):
        return None
    evidence = (
        Evidence("validation_loss", where, int(steps[-1]), recent, best, "its own best in the first half of the run"),
        Evidence("loss", "", level.newest_step, level.recent, recent - _HALF * level.constant,
                 "half of what a constant prediction loses is known of the training data alone"),
    )  # fmt: skip
    cause = (
        f"the validation loss was no better than {best:.3g} since step {steps[half]}, while the training loss fell by "
        f"{gained:.3g} to {level.recent:.3g}: what was learned since was learned by heart."
    )
    return Sign(_severity(history), cause, evidence, (), int(steps[half]), _cures(history))


def _gap(history: History) -> Sign | None:
    """A row whose right class is not the likeliest has a cross-entropy of ln 2 or more, so that no more than L/ln 2 of
    the rows are wrong where the mean is L: an accuracy far below is of other data."""
    level = next((level for level in history.losses.values() if level.count), None)
    if level is None or len(history.losses) != 1 or not history.wheres("num_classes") or _decays(history):
        return None
    known = 1 - level.recent / math.log(2)
    for name in history.wheres("printed_number"):
        steps, values = history.measured("printed_number", name)
        if not of_an_accuracy(name) or len(values) < _MANY or not 0 <= values.min() <= values.max() <= 1:
            continue
        half = len(values) // 2
        now, before = float(np.median(values[half:])), float(values[:half].max())
        if not (known - now >= _HALF and values[half:].max() <= before + _SLACK * (1 - before)):
            continue
        evidence = (
            Evidence("printed_number", name, int(steps[-1]), now, known - _HALF,
                     f"half below 1 − L/ln 2 = {known:.3g}, which the training data's is by their loss L at least"),
            Evidence("loss", "", level.newest_step, level.recent, (1 - _HALF) * math.log(2),
                     "a cross-entropy: what is not likeliest costs ln 2 or more"),
        )  # fmt: skip
        cause = (
            f"the training data are learned by heart: of their loss of {level.recent:.3g} follows an accuracy of "
            f"{known:.3g} or more, and what the script prints as {name} is {now:.3g}, no better since step "
            f"{steps[half]}."
        )
        return Sign(_severity(history), cause, evidence, (), int(steps[half]), _cures(history))
    return None


def _of_quality(name: str) -> bool:
    return held_out(name) or (bool(direction(name)) and not of_a_game(name))


def _turned(history: History, found: Turned) -> Sign:
    source = "a quarter of what it had gained is lost, beyond four times its noise, since a best that is long ago"
    evidence = (Evidence("printed_number", found.name, history.step, found.now, found.bound, source),)
    cause = (
        f"what the script prints as {found.name} was best at step {found.step} ({found.best:.3g}, after "
        f"{found.first:.3g} at first) and has gone back to {found.now:.3g} since, while the training loss fell on."
    )
    return Sign(_severity(history), cause, evidence, (), found.step, _cures(history))


def _severity(history: History) -> Severity:
    """A remedy in place waits for just this."""
    waited_for = any(event.data.get("id") == STOP_EARLY.apply for event in history.events("apply"))
    return "info" if waited_for else "warning"


def _overfits(history: History, where: str) -> Sign | None:
    steps, values = history.series("validation_loss", where)
    seen = np.isfinite(values)
    steps, values = steps[seen], values[seen]
    if len(values) < _FEW + 2:
        return None
    at = int(np.argmin(values))
    best, since = float(values[at]), len(values) - 1 - at
    if since < _FEW:
        return None
    noise = scatter(np.diff(values)) if len(values) > 1 else 0.0
    recent = float(np.min(values[-3:]))
    rise = recent - best
    # a steady rise is no noise: the half that came later is above the half that came first
    risen = rise > 4 * noise or (rise > noise and _trend(values[at + 1 :]) > _TREND)
    half = at + 1 + since // 2
    climb = float(np.median(values[half:])) - float(np.median(values[at + 1 : half]))  # in half of the time since
    steady = climb > 0
    name, level = next(((name, lv) for name, lv in history.losses.items() if lv.count), ("", None))
    if level is None or not steady or not risen or rise <= 0.05 * abs(best):
        return None
    if not level.near_best:
        return None  # training itself went wrong: another finding's
    if not level.recent < min(recent, trained(history, name, int(steps[at])) - level.best_noise):
        return None  # nothing was learned since that could have been learned by heart
    constant = level.constant if level.known and best < 2 * level.constant else math.nan
    scale = constant if math.isfinite(constant) else abs(float(values[0]))
    severity: Severity = "info"
    gained = constant - best if best < constant else math.inf
    much = max(_LOST * scale, 0.25 * min(abs(best), gained))
    if ORDERS * level.recent < recent and not _decays(history):
        much = min(much, _LOST * gained)  # nothing pulls any more: what is lost doesn't come back
    lost = 2 * at <= len(values) and rise > much
    foreseen = rise + 2 * climb  # after as many evaluations again
    coming = 2 * at <= len(values) + since and foreseen > much
    if lost or coming:
        severity = "warning"
    if recent > constant and best < 0.9 * constant:
        severity = "warning"
    severity = min(severity, _severity(history), key=SEVERITIES.index)
    evidence: tuple[Evidence, ...] = (
        Evidence("validation_loss", where, int(steps[-1]), recent, best + max(4 * noise, _LOST * scale), _SOURCE),
        Evidence("loss", "", level.newest_step, level.recent, recent, "a training loss far below is learned by heart"),
    )
    cause = (
        f"the validation loss was best at step {steps[at]} ({best:.3g}) and has risen to {recent:.3g} since, "
        f"while the training loss fell to {level.recent:.3g}."
    )
    if coming and rise <= much:
        then = 2 * int(steps[-1]) - int(steps[at])
        cause += f" At this pace it is {best + foreseen:.3g} by step {then}."
        source = "as far again as since the best, at the pace from the first half of that time to the second"
        ahead = Evidence(f"validation_loss at step {then}", where, int(steps[-1]), best + foreseen, best + much, source)
        evidence = (*evidence, ahead)
    return Sign(severity, cause, evidence, (), int(steps[at]), _cures(history))


def _trend(values: np.ndarray) -> float:
    """Kendall's count of pairs that rise less those that fall, in its deviations where the order is by chance: among
    many noisy values a rise is plain that is less than four times the noise of one."""
    count = len(values)
    pairs = np.sign(values[None, :] - values[:, None])[np.triu_indices(count, 1)].sum()
    return float(pairs / math.sqrt(max(1, count * (count - 1) * (2 * count + 5)) / 18))


def _cures(history: History) -> tuple[Remedy, ...]:
    """The best weights are held, with or without a decay beside that is much faster than the run, or dropout; or there
    is a slow decay, under which the loss may come back after a rise."""
    fast, slow = (halved_each(history, history.step / times) for times in _HALVED)
    others = () if fast is None or slow is None else (f"{STOP_EARLY.apply}+{fast.apply}", str(slow.apply))
    fresh = ("fresh-batches",) if _one_batch(history) else ()
    dropped = (f"{STOP_EARLY.apply}+dropout:p={p:g}" for p in _DROPPED)
    return (*best_of((STOP_EARLY,), *others, *dropped, *fresh), DROPOUT)


def _one_batch(history: History) -> bool:
    """Whether all looks saw the same rows: all that there are, or a batch that is drawn by the same seed each time."""
    batches = [history.measured("distinct_batches", name)[1] for name in history.wheres("distinct_batches")]
    return any(len(seen) > 1 and bool((seen == 1).all()) for seen in batches)


def _decays(history: History, share: float = 0.0) -> bool:
    """Whether weights decay, or may: they move on then, once the data are learned by heart, as grokking takes. Where a
    ``share`` is given: by more than that so far, but for optimisers that do not take it off the weights themselves."""
    optimizers = [history.optimizer(name) for name in history.losses]
    applied = any(event.data.get("id") == "weight-decay" for event in history.events("apply"))
    return applied or any(_decay(history, optimizer) > share for optimizer in optimizers)


def _decay(history: History, optimizer: Mapping[str, Any]) -> float:
    """The share of themselves that weights have lost by decay, at the largest rate; infinite where that is unknown."""
    decay = optimizer.get("weight_decay", 1.0)
    direct = optimizer.get("defaults", {}).get("decoupled_weight_decay") or optimizer.get("type") == "SGD"
    rates = history.measured("learning_rate", optimizer.get("name", ""))[1] if decay and direct else np.array([])
    if not len(rates):
        return math.inf if decay else 0.0
    return float(decay * rates.max() * history.step)
