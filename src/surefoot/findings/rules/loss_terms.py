"""``loss-term-imbalance``: of a loss that is a sum, one term's gradient drowns another that should be learned too.

Wang, Teng and Perdikaris 2021, "Understanding and Mitigating Gradient Flow Pathologies in Physics-Informed Neural
Networks" (SIAM J. Sci. Comput. 43): where the residual's gradient is orders of magnitude larger than the boundary
term's, the boundary is not learned. A small gradient alone is no fault: penalties, entropy bonuses and auxiliary losses
are small by design. So a term counts as drowned only if the script gave it no small weight of its own, and if it
stays where it is, or is given up: the steps that lower the sum raise it tenfold.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.progress import HOLDS
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.growing_weight import outgrown
from surefoot.findings.rules.joined_term import joined
from surefoot.findings.rules.policy_terms import policy_drowned
from surefoot.findings.rules.term_cures import BALANCE, drowned_by, kind_of, weighed
from surefoot.findings.rules.unheard_output import unheard_output
from surefoot.runs.schema import OWN_WEIGHT, Evidence

_DROWNED = 0.01
_LOOKS = 6
_STEPS = 100  # 1/_DROWNED: a hundredth of a gradient takes so many steps to come as far as the other comes in one
_BASE = 2.5  # times as many steps: what is learned as slowly as 1/t is down to two fifths meanwhile
_EARLY = 4.0  # times as many steps have been taken since then
_FAINT = 0.1  # of the other's gradient, and its square of the other's value: errors of a tenth of its size
_GIVEN_UP = 10.0  # times what it was
_STAYED, _AGAINST = 0.9, -0.5  # of its first value; of the gradient of the rest
_SLOW = 0.5  # of the first value of a score, while an error falls to a tenth
_DOUBLINGS = 8.0  # times as many steps at the last of at least four looks as at the first
_MISFITS = ("mse_loss", "smooth_l1_loss", "huber_loss")  # errors against targets
ERRORS = (*_MISFITS, "squared_error", "absolute_error")
_SCORES = ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")  # of labels


@rule("loss-term-imbalance", needs=("printed", "samples", "terms", "weights"))
def loss_term_imbalance(history: History) -> Sign | None:
    """For 100 steps and six looks the gradient of a term that has a weight of one, or the other's, is at most a
    hundredth of another's, and its value has neither halved after the first quarter of the steps nor come below a
    tenth of its first: warning where both are errors or scores of predictions, or where it is one that was never
    learned at all, else info. Of such terms, with a tenth of the other's gradient from the first look on and a
    hundredth of its value: it rises tenfold over four looks and three doublings of the steps, or is a score of
    labels that was never below its first at six looks over 100 steps (or is above half of it after 200), while an
    error against targets fell to a tenth (where looks at terms ended: by step 100, and by twice the last of them,
    while the loss is a hundred times the score): warning. So is an error or score with a hundredth at the first
    looks that never got lower, where the other has fallen to a tenth, and pulls against it now; or where it is what
    a constant prediction scores twice as long as that took. Where looks at terms were too dear to go on, they are
    good for four times their steps as long as the loss is a hundred times the other: warning where no step had,
    times the steps since, a tenth of its gradient for the other. Where it is the weight of another that grows, or
    another joins late, or it is a policy's: see ``growing_weight.py``, ``joined_term.py`` and ``policy_terms.py``. An
    output of a regression that is drowned by another's scale: see ``unheard_output.py``."""
    names = [name for name in history.wheres("term_gradient_norm") if name]
    if len(names) < 2:
        return unheard_output(history)
    for prefix in dict.fromkeys(name.rpartition(": ")[0] for name in names):
        own = [name for name in names if name.rpartition(": ")[0] == prefix]
        errors = [name for name in own if kind_of(name) in (*ERRORS, *_SCORES)]
        if len(own) < 2:
            continue
        sign = _drowned(history, own) or joined(history, own, errors) or outgrown(history, own, errors, (BALANCE,))
        sign = sign or policy_drowned(history, own, errors)
        if sign is not None:
            return sign
    return unheard_output(history)


def _drowned(history: History, names: list[str]) -> Sign | None:
    steps = history.series("term_gradient_norm", names[0])[0]
    gradients = np.array([_last(history, "term_gradient_norm", name, len(steps)) for name in names])
    values = np.abs(np.array([_last(history, "term_value", name, len(steps)) for name in names]))
    whole = np.isfinite(gradients).all(axis=0)
    steps, gradients, values = steps[whole], gradients[:, whole], values[:, whole]
    seen = (history, names, steps, gradients, values)
    given_up = _given_up(*seen) or _untouched(*seen) or _held_back(*seen) or _out_of_sight(*seen)
    if given_up is not None:
        return given_up
    if len(steps) < _LOOKS or steps[-1] - steps[0] < _STEPS:
        return None
    # a run's first steps are of their own kind; where looks are rare, more of them are needed than are late
    late = slice(min(int(np.searchsorted(steps, steps[-1] / _EARLY)), len(steps) - _LOOKS), None)
    if np.median(steps[-3:]) < _BASE * np.median(steps[late][:3]):
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = gradients[:, late] / gradients[:, late].max(axis=0)
    strongest = int(np.median(gradients[:, late], axis=1).argmax())
    for i, name in enumerate(names):
        if i == strongest or not np.isfinite(values[i]).all() or not _meant(history, name, names[strongest]):
            continue
        began, settled, now = (np.median(v) for v in (values[i, :3], values[i, late][:3], values[i, -3:]))
        kind = kind_of(name)
        # a penalty that starts at nothing rises with what it penalises; an error against targets has no reason to
        stays = now >= 0.5 * settled and now >= 0.1 * began and (now <= 3 * began or kind in _MISFITS)
        if (ratio[i] <= _DROWNED).mean() < 0.8 or ratio[i, -1] > _FAINT or not stays or not began > 0:
            continue
        loud, quiet = names[strongest], name
        kinds = {kind, kind_of(loud)}
        evidence = (
            Evidence("term_gradient_norm", quiet, int(steps[-1]), float(gradients[i, -1]),
                     float(_DROWNED * gradients[strongest, -1]),
                     f"a hundredth of that of {loud} (Wang, Teng, Perdikaris 2021)"),
            Evidence("term_value", quiet, int(steps[-1]), float(now), float(0.5 * settled),
                     "half of what it was after a quarter of the steps: it is not learned any more"),
        )  # fmt: skip
        cause = (
            f"the gradient of {loud} drowns that of {quiet}, which is {1 / np.median(ratio[i]):.3g} times smaller: "
            f"{quiet} began at {began:.3g}, is at {now:.3g}, and is not learned."
        )
        unlearned = values[i].min() >= _STAYED * began and _aims(history, {kind})
        severity = "warning" if unlearned or _aims(history, kinds) else "info"
        return Sign(severity, cause, evidence, (), int(steps[0]), drowned_by(history, loud))  # type: ignore[arg-type]
    return None


def _given_up(
    history: History, names: list[str], steps: np.ndarray, gradients: np.ndarray, values: np.ndarray
) -> Sign | None:
    if len(steps) < 4 or steps[-1] < _DOUBLINGS * steps[0]:
        return None
    loud = int(np.median(gradients, axis=1).argmax())
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = gradients / gradients.max(axis=0)
    for i, name in enumerate(names):
        if (
            i == loud
            or not _aims(history, {kind_of(name), kind_of(names[loud])})
            or not _meant(history, name, names[loud])
        ):
            continue
        began, now, most = values[i, 0], values[i, -1], ratio[i].max()
        faint = most <= _FAINT and now <= _FAINT**2 * values[loud, -1]
        if not (0 < _GIVEN_UP * began <= now and faint):
            continue
        evidence = (
            Evidence("term_value", name, int(steps[-1]), float(now), float(_GIVEN_UP * began),
                     "ten times what it was at the first look: the steps that lower the sum raise it"),
            Evidence("term_gradient_norm", name, int(steps[-1]), float(gradients[i, -1]),
                     float(_FAINT * gradients[loud, -1]),
                     f"a tenth of that of {names[loud]}, of a hundredth of its value (Wang, Teng, Perdikaris 2021)"),
        )  # fmt: skip
        cause = (
            f"the gradient of {names[loud]} drowns that of {name}, which is {1 / np.median(ratio[i]):.3g} times "
            f"smaller: {name} rose from {began:.3g} to {now:.3g} so that {names[loud]} could fall."
        )
        return Sign("warning", cause, evidence, (), int(steps[0]), drowned_by(history, names[loud]))
    return None


def _untouched(
    history: History, names: list[str], steps: np.ndarray, gradients: np.ndarray, values: np.ndarray
) -> Sign | None:
    """A score of labels that was never below its first, while the other term fell to a tenth: it starts at what
    guessing gives and can't rise tenfold, so that not to fall is what being given up looks like. Where the looks
    ended early, they are good for twice their steps, as long as the loss is a hundred times the score. Layers of its
    own learn under Adam whatever the shared ones do: over twice the steps it is above half of its first that counts."""
    if len(steps) < _LOOKS or history.step - steps[0] < _STEPS or steps[-1] < _DOUBLINGS * steps[0]:
        return None
    goes_on = history.step <= 2 * steps[-1] and len(history.losses) == 1
    least = next(iter(history.losses.values())).recent if goes_on else np.nan
    loud = int(np.median(gradients, axis=1).argmax())
    if not _GIVEN_UP * np.fmin(np.median(values[loud, -3:]), least) <= values[loud, 0]:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = gradients / gradients[loud]
    for i, name in enumerate(names):
        if i == loud or kind_of(name) not in _SCORES or kind_of(names[loud]) not in _MISFITS:
            continue
        if not _aims(history, {kind_of(name), kind_of(names[loud])}) or not _meant(history, name, names[loud]):
            continue
        began, now = values[i, 0], float(np.median(values[i, -3:]))
        faint = ratio[i].max() <= _FAINT and now <= _FAINT**2 * values[loud, -1]
        lasts = steps[-1] - steps[0] >= _STEPS or values[i].max() <= _FAINT**2 * least
        never = 0 < began <= values[i].min()
        slow = steps[-1] - steps[0] >= 2 * _STEPS and 0 < _SLOW * began <= now
        if not ((never or slow) and faint and lasts):
            continue
        bound, source = (1.0, "at none of the looks was it lower") if never else (_SLOW, "half is not learned so far")
        evidence = (
            Evidence("term_value", name, int(steps[-1]), now, float(bound * began), f"of its first value: {source}"),
            Evidence("term_gradient_norm", name, int(steps[-1]), float(gradients[i, -1]),
                     float(_FAINT * gradients[loud, -1]),
                     f"a tenth of that of {names[loud]}, of a hundredth of its value (Wang, Teng, Perdikaris 2021)"),
        )  # fmt: skip
        cause = (
            f"the gradient of {names[loud]} drowns that of {name}, which is {1 / np.median(ratio[i]):.3g} times "
            f"smaller: {names[loud]} fell from {values[loud, 0]:.3g} to {values[loud, -1]:.3g}, {name} is at {now:.3g} "
            f"after {began:.3g}{', and was never below that' if never else ''}."
        )
        return Sign("warning", cause, evidence, (), int(steps[0]), drowned_by(history, names[loud]))
    return None


def _held_back(
    history: History, names: list[str], steps: np.ndarray, gradients: np.ndarray, values: np.ndarray
) -> Sign | None:
    """A term that stays where the louder one has put it. As long as that falls, it drowns the other. Then no hundredth
    is left to be seen: the two pull as hard against each other, and neither moves; or the model knows nothing, and has
    not learned in as many steps again as the louder one took; or it is nearly all of the loss, and has been for three
    quarters of the steps."""
    if len(steps) < _LOOKS or steps[-1] - steps[0] < _STEPS or steps[-1] < _DOUBLINGS * steps[0]:
        return None
    first = np.median(gradients[:, :3], axis=1)
    loud = int(first.argmax())
    sizes = values[loud] if np.isfinite(values[loud]).all() else gradients[loud]
    if not _GIVEN_UP * np.median(sizes[-3:]) <= np.median(sizes[:3]):
        return None
    for i, name in enumerate(names):
        began, least, now = (float(v) for v in (np.median(values[i, :3]), values[i].min(), np.median(values[i, -3:])))
        drowned = 0 < first[i] <= _DROWNED * first[loud] and 0 < _STAYED * began <= least
        # by a small weight it is meant to be little, but not to be nearly all that is left
        most = np.flatnonzero(values[i] < _GIVEN_UP * sizes)
        since = int(steps[most[-1]]) if len(most) else int(steps[0])
        left = since < steps[-1] and steps[-1] >= _EARLY * since
        if not drowned or not _aims(history, {kind_of(name)}) or not (left or _meant(history, name, names[loud])):
            continue
        against = float(np.median([_pull(history, names, i, step) for step in steps[-3:]]))
        heard = np.flatnonzero(gradients[loud] * _FAINT <= gradients[i])
        waited = len(heard) > 0 and steps[-1] >= 2 * steps[heard[0]] and _knows_nothing(history, name, now)
        if not (against <= _AGAINST or waited or left):
            continue
        stays = Evidence("term_value", name, int(steps[-1]), now, float(_STAYED * began),
                         f"nine tenths of what it was: at none of {len(steps)} looks was it lower")  # fmt: skip
        source = f"a hundredth of that of {names[loud]} at the first looks (Wang, Teng, Perdikaris 2021)"
        faint = float(_DROWNED * first[loud])
        evidence: tuple[Evidence, ...]
        evidence = (Evidence("term_gradient_norm", name, int(steps[0]), float(first[i]), faint, source), stays)
        how = "nor has it been learned since"
        if against <= _AGAINST:
            how = "and now the two pull against each other"
            source = "along that of the other terms, in units of it: −1 where they cancel, and neither moves"
            evidence += (Evidence("gradient of the term", name, int(steps[-1]), against, _AGAINST, source),)
        cause = (
            f"the gradient of {names[loud]} drowned that of {name}, which was {first[loud] / first[i]:.3g} times "
            f"smaller, {how}: {name} is at {now:.3g} after {values[i, 0]:.3g}."
        )
        cures = drowned_by(history, names[loud])
        if not _meant(history, name, names[loud]):  # whose small weight is what drowns it
            cures = (weighed(float(first[loud] / first[i]), name), *cures)
        return Sign("warning", cause, evidence, (), int(steps[0]), cures)
    return None


def _out_of_sight(
    history: History, names: list[str], steps: np.ndarray, gradients: np.ndarray, values: np.ndarray
) -> Sign | None:
    """The looks at terms ended early. As long as the loss is a hundred times what the other term ever was, it is what
    the louder makes of it. That goes on to drown the other, with a gradient that falls as the root of an error does;
    which is certain where all steps of the run together bring the other no further than a tenth of what one of them
    brings the louder."""
    taken = history.step - int(steps[0]) if len(steps) else 0
    if len(steps) < _LOOKS or taken < _STEPS or steps[-1] < _DOUBLINGS * steps[0] or history.step > HOLDS * steps[-1]:
        return None
    if len(history.losses) != 1 or history.step < 2 * steps[-1]:
        return None
    level = next(iter(history.losses.values()))
    loud = int(np.median(gradients, axis=1).argmax())
    if not level.recent > 0:
        return None
    weaker = max(1.0, float(np.median(values[loud, -3:])) / level.recent) ** 0.5
    for i, name in enumerate(names):
        if (
            i == loud
            or not _aims(history, {kind_of(name), kind_of(names[loud])})
            or not _meant(history, name, names[loud])
        ):
            continue
        ratio = weaker * float((gradients[i] / gradients[loud]).max())
        # halves of the looks, for batches differ by more than what is learned
        began, now = (float(np.median(half)) for half in np.array_split(values[i], 2))
        nothing = values[i].max() <= _DROWNED * min(values[loud].min(), level.recent) and 0.5 * began <= now
        if not (0 < ratio * taken <= _FAINT and nothing):
            continue
        evidence = (
            Evidence("term_gradient_norm", name, int(steps[-1]), float(gradients[i, -1]),
                     float(_FAINT / taken * gradients[loud, -1]),
                     f"{taken} steps together are a tenth of one for {names[loud]} (Wang, Teng, Perdikaris 2021)"),
            Evidence("term_value", name, int(steps[-1]), now, 0.5 * began, "half of what it was at first"),
        )  # fmt: skip
        cause = (
            f"the gradient of {names[loud]} drowns that of {name}, which is {1 / ratio:.3g} times smaller at least: "
            f"{name} was at {now:.3g} after {began:.3g} at step {int(steps[-1])}, and the loss is still {names[loud]}."
        )
        return Sign("warning", cause, evidence, (), int(steps[0]), drowned_by(history, names[loud]))
    return None


def _pull(history: History, names: list[str], i: int, step: int) -> float:
    """The gradient of one term along that of all others together, in units of that; noise in either averages out."""
    norms, alignments = (
        np.array([dict(zip(*history.series(signal, name), strict=True)).get(step, np.nan) for name in names])
        for signal in ("term_gradient_norm", "term_alignment")
    )
    whole = float(norms @ alignments)
    along, own = float(norms[i] * alignments[i] * whole), float(norms[i] ** 2)
    rest = whole**2 - 2 * along + own
    return (along - own) / rest if rest > 0 else np.nan


def _knows_nothing(history: History, name: str, value: float) -> bool:
    """A term's value is what the best constant prediction scores."""
    score = value / history.value("term_weight", name)
    return any(level.constant > 0 and 0.97 <= score / level.constant <= 1.5 for level in history.losses.values())


def _aims(history: History, kinds: set[str]) -> bool:
    """Both are errors or scores of predictions, which a script wants small; in a game scores of real and made samples
    take turns."""
    return kinds <= {*ERRORS, *(() if history.wheres("generated_move") else _SCORES)}


def _meant(history: History, quiet: str, loud: str) -> bool:
    """The script gave the quiet term no small weight: not less than 1, or than the other's."""
    return history.value("term_weight", quiet) >= OWN_WEIGHT * min(1.0, history.value("term_weight", loud))


def _last(history: History, signal: str, name: str, count: int) -> np.ndarray:
    """The newest ``count`` values; a term that turned up late has fewer."""
    values = history.series(signal, name)[1]
    return np.concatenate([np.full(max(0, count - len(values)), np.nan), values[-count:]])
