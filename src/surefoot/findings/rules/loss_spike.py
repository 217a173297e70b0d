"""``loss-spike``: the loss jumps up for several rows in a row, and loses much of what had been gained.

A single high row is a batch, not a spike: heavy tails and bad batches are over with the next row. A curriculum that
turns harder jumps as well and comes back, and full-batch training at the edge of stability spikes and recovers: from
the losses alone these look alike, so that a spike alone is an info. It is a warning where a step is known to have made
it, or where the run keeps falling behind its own beginning.

An optimiser that is made anew has forgotten its moments: Adam's first step is lr · sign(g) whatever the gradient, as
long for a fit of a thousandth as for none (Kingma, Ba 2015, arXiv 1412.6980, §2.1). Such rises are small beside what
was learned before, and come again with each new optimiser.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.findings.levels import LossLevel
from surefoot.findings.progress import new_labels
from surefoot.findings.rates import JUMP
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.unsafe_step import rate_jump, worst_step
from surefoot.findings.slower import shortened
from surefoot.findings.turned import told_by_rewards
from surefoot.runs.schema import Evidence, Remedy, Severity

_BEFORE = 16  # rows that say what the level was
_HIGH = 3  # rows in a row that must be above
_DEVIATIONS = 8.0
_LOST = 0.5  # of what had been gained; and of the level itself
_OFTEN = 3
_LOOKS = 4
_AFTER = 8  # rows after an optimiser was made anew
_ORDER = 10.0  # times the level: what has gone on to so much of a loss has lost a decade of its fit
_SLOWED = 0.7  # of the loss at half of the steps, as for a learning rate that is too high
_FAR_ABOVE, _AGAIN = 3.0, 5  # of the best level, and of the rows before a leap; leaps
_RENEWED = 1.5  # times the highest of the rows before, in two of those; its square in one
_SOURCE = (
    "the run's own history: the median of the 16 rows before, plus half of what had been gained since the start, half "
    "of that level, and 8 × noise, whichever is most; three rows in a row are above"
)


ONE_OPTIMIZER = Remedy(
    name="one optimizer for the whole run",
    why="an optimizer that is made once keeps what it knows of the gradients' size",
    how=(
        "# after: optimizer\n"
        "# better: make the optimizer before the loop\n"
        'optimizer.state = globals().setdefault("moments_so_far", optimizer.state)\n'
    ),
)


@dataclass(frozen=True)
class Spike:
    """A spike: its first step, the level before it, the threshold it crossed, its height, and when it was over."""

    step: int
    level: float
    threshold: float
    peak: float
    peak_step: int
    back: int | None


@rule("loss-spike", needs=("step",))
def loss_spike(history: History) -> Sign | None:
    """Info for a spike; warning where the learning rate had just risen fourfold over all it was before, where an unsafe
    step went before it, where it began with the first steps of layers that were frozen before and is not over, or for
    the third spike above the first loss that other data do not explain. Warning, too, where the loss rises with an
    optimiser that takes the place of one of its kind, for the second time: of the eight rows after, two are half as
    high again as the highest of the 16 before, or one is more than twice as high. Warning, too, where all steps are
    taken on one and the same batch, and in the newest half of the run, in which the loss hardly came down, it was
    thrown up by a decade three times; or where it leaps threefold five times and more, and is three times its best in
    the newest half of the run.
    """
    if len(history.losses) != 1:
        return None  # adversaries trade wins
    for name, level in history.losses.items():
        if not level.refreshed or level.count < _BEFORE + _HIGH or level.negative:
            continue
        sign = _renewed(history, name)
        if sign is not None:
            return sign
        sign = _thrown_back(history, name, level) or _again_and_again(history, name, level)
        if sign is not None:
            return sign
        spikes = find_spikes(*history.series("loss", name), level)
        if spikes:
            return _judge(history, name, level, spikes)
    return None


def _renewed(history: History, name: str) -> Sign | None:
    """The optimiser is made anew again and again, and what it forgets costs the run some of what it had learned."""
    made = [event.step for event in history.events("optimizers") if event.data.get("renewed") == name]
    if len(made) < 2:
        return None
    steps, losses = history.measured("loss", name)
    rises: list[tuple[int, float, float, float]] = []
    for step in made:
        at = int(np.searchsorted(steps, step, side="right"))
        if not at or steps[at - 1] != step:
            continue
        before, after = losses[max(0, at - _BEFORE) : at], np.sort(losses[at : at + _AFTER])
        if len(before) < _BEFORE or len(after) < 2:
            continue
        # the loss of the new one's first step is still that of the old one's last; if not, other data have come
        if before[-1] > _RENEWED * before[:-1].max():
            continue
        most = float(before.max())
        if most > 0 and (after[-2] >= _RENEWED * most or after[-1] >= _RENEWED**2 * most):
            rises.append((step, float(np.median(before)), _RENEWED * most, float(after[-1])))
    if len(rises) < 2:
        return None
    step, usual, threshold, risen = rises[-1]
    source = "the run's own history: half as high again as the highest of the 16 rows before"
    evidence = Evidence("loss", name, step, risen, threshold, source)
    cause = (
        f"the optimizer is made anew, {len(made)} times so far, and forgets its moments: its first steps at step "
        f"{step} raised the loss from {usual:.3g} to {risen:.3g}, as they did {len(rises) - 1} times before."
    )
    return Sign("warning", cause, (evidence,), (name,) if name else (), rises[0][0], (ONE_OPTIMIZER,))


def _thrown_back(history: History, name: str, level: LossLevel) -> Sign | None:
    """On one batch the loss is a function of the weights alone: only steps can throw it up, and where they do so again
    and again, and nothing is gained in between, they are too long for the place where it is."""
    batches = history.measured("distinct_batches", name)[1]
    if len(batches) < _LOOKS or not (batches == 1).all() or not level.recent > _SLOWED * level.at_half:
        return None
    steps, losses = history.measured("loss", name)
    newer = steps >= level.first_step + level.steps / 2
    steps, losses = steps[newer], losses[newer]
    if len(losses) < 4 * _BEFORE:
        return None
    usual = float(np.median(losses))
    above, calm = losses > _ORDER * usual, losses < 2 * usual
    began: list[int] = []
    ready = True  # to begin a next one: the loss was back
    for i in range(len(losses)):
        if above[i] and ready:
            began.append(i)
        ready = (ready or bool(calm[i])) and not above[i]
    if len(began) < _OFTEN:
        return None
    highest = float(losses.max())
    source = "ten times the median of the newest half of the run, three times in it"
    evidence = Evidence("loss", name, int(steps[losses.argmax()]), highest, _ORDER * usual, source)
    cause = (
        f"on one and the same data the loss was thrown up {len(began)} times since step {int(steps[0])}, to "
        f"{highest:.3g} from {usual:.3g}, hardly lower than at half of the run: its steps are too long to settle."
    )
    cures = shortened(history, name, 4.0, remedies.CLIP, rate_first=True)
    return Sign("warning", cause, (evidence,), (name,) if name else (), int(steps[began[0]]), cures)


def _again_and_again(history: History, name: str, level: LossLevel) -> Sign | None:
    """The loss leaps, falls, and leaps again, so often that the newest half of the run is far above what it had come
    to: something sets back, now and then, what was learned. A batch that is hard is over with the next row."""
    steps, losses = history.measured("loss", name)
    ours = steps >= level.first_step
    steps, losses = steps[ours], losses[ours]
    newer = losses[2 * steps >= history.step]
    if len(newer) < 2 * _BEFORE or not 0 < level.best < _LOST * level.first or told_by_rewards(history):
        return None
    if not np.median(newer) >= _FAR_ABOVE * level.best or len(history.events("optimizers")) > 2:
        return None  # or each is a stage
    before = np.lib.stride_tricks.sliding_window_view(losses, _HIGH).max(axis=1)[: -2 * _HIGH + 1]
    at = np.arange(_HIGH, _HIGH + len(before))
    leaps = (losses[at] >= _FAR_ABOVE * before) & (np.minimum(losses[at + 1], losses[at + 2]) >= 2 * before)
    began = at[np.flatnonzero(leaps)]
    began = began[np.diff(began, prepend=-_BEFORE) > _HIGH]  # rows of one leap count once
    if len(began) < _AGAIN or 2 * steps[began[-1]] < history.step:
        return None
    if any(until >= steps[began[0]] for _, until in new_labels(history)):
        return None  # other tasks come, each with something new to learn
    highest, usual = float(losses[began].max()), float(np.median(newer))
    source = "the run's own history: three times the three rows before, twice in the two after, at five times or more"
    evidence = Evidence("loss", name, int(steps[began[-1]]), float(losses[began[-1]]),
                        float(_FAR_ABOVE * before[began[-1] - _HIGH]), source)  # fmt: skip
    cause = (
        f"the loss was thrown up {len(began)} times since step {int(steps[began[0]])}, to {highest:.3g}: it had come "
        f"down to {level.best:.3g}, and is at {usual:.3g} in the newest half of the run. Something sets back what is "
        "learned: look at what the script does at these steps."
    )
    cures = shortened(history, name, 2.0, remedies.CLIP)
    return Sign("warning", cause, (evidence,), (name,) if name else (), int(steps[began[0]]), cures)


def find_spikes(steps: np.ndarray, losses: np.ndarray, level: LossLevel) -> list[Spike]:
    """All spikes among the rows kept, oldest first."""
    known = np.isfinite(losses) & (steps >= level.first_step)  # another model's before it are nothing to compare with
    steps, losses = steps[known], losses[known]
    found: list[Spike] = []
    # of a start far above what a constant scores, the fall down to that was no gain
    start = min(level.first, level.constant) if level.known else level.first
    # three rows in a row above half of the way between the lowest level and the start, or no spike
    high = losses > level.best + max(_LOST * (start - level.best), _LOST * abs(level.best))
    in_a_row = high[: len(high) - 2] & high[1 : len(high) - 1] & high[2:]
    over = _BEFORE
    for at in map(int, np.flatnonzero(in_a_row)):
        if at < over:
            continue
        before = np.sort(losses[at - _BEFORE : at])
        usual = float(0.5 * (before[_BEFORE // 2 - 1] + before[_BEFORE // 2]))
        noise = float(before[(3 * _BEFORE) // 4] - before[_BEFORE // 4]) / 1.349
        threshold = usual + max(_LOST * (start - usual), _LOST * abs(usual), _DEVIATIONS * noise)
        if usual > start - max(0.3 * abs(start), 2 * noise) or losses[at : at + _HIGH].min() <= threshold:
            continue
        after = losses[at:]
        below = np.flatnonzero(after < 0.5 * (usual + threshold))
        end = int(below[0]) if len(below) else len(after)
        peak = int(after[:end].argmax())
        back = int(steps[at + end]) if len(below) else None
        found.append(Spike(int(steps[at]), usual, threshold, float(after[peak]), int(steps[at + peak]), back))
        over = at + end + _BEFORE // 2
    return found


def _thawed(history: History, step: int, since: int) -> list[str]:
    """Layers whose first steps since ``since`` brought the spike: those beside them had been trained before. None where
    the loss is a sum since then: what joined it is higher by itself."""
    sums = [history.series("term_value", name)[0] for name in history.wheres("term_value")]
    if len(sums) > 1 and min(int(steps[0]) for steps in sums if len(steps)) >= step:
        return []
    looks = [row for row in history.recent_layers("update_ratio", 4 * _BEFORE) if row.step >= since]
    before = [row for row in looks if row.step < step]
    after = next((row for row in looks if step <= row.step <= step + _BEFORE), None)
    if not before or after is None:
        return []
    trained = {name for row in before for name, value in zip(row.names, row.values, strict=True) if value > 0}
    new = [name for name, value in zip(after.names, after.values, strict=True) if value > 0 and name not in trained]
    return new if trained else []


def _judge(history: History, name: str, level: LossLevel, spikes: list[Spike]) -> Sign:
    spike = spikes[-1]
    evidence = [Evidence("loss", name, spike.peak_step, spike.peak, spike.threshold, _SOURCE)]
    severity: Severity = "info"
    why = "no step or batch is known that made it"
    before = spike.step - max(4, spike.step // 64)
    jump = rate_jump(history, name, spike.step, rows=4)
    unsafe = worst_step(history, name, since=before) if name in history.wheres("safe_ratio") else None
    lasts = spike.back is None and history.step - spike.step >= _BEFORE
    # other data came: an optimiser was made anew, as is often done for them, or labels are new
    other = [(event.step, event.step + 4) for event in history.events("optimizers")[1:]] + new_labels(history)
    above = [s for s in spikes if s.peak > 1.2 * level.base and not any(a <= s.step <= b for a, b in other)]
    if jump >= JUMP:
        severity, why = "warning", f"right after the learning rate rose to {jump:.3g} times all it had been"
        source = "the run's own history: the largest rate in the older half of the rows"
        evidence.append(Evidence("learning_rate / its largest before", name, spike.step, jump, JUMP, source))
    elif unsafe is not None and unsafe[0] <= spike.step + 1:
        severity, why = "warning", f"after step {unsafe[0]} went {unsafe[1]:.3g} radii of convergence far"
        source = "unsafe-step: r ≥ 4 out of nothing"
        evidence.append(Evidence("safe_ratio", name, unsafe[0], unsafe[1], JUMP, source))
    elif lasts and (thawed := _thawed(history, spike.step, level.first_step)):
        shown = ", ".join(thawed[:3]) + (", …" if len(thawed) > 3 else "")
        severity, why = "warning", f"as {shown} began to be trained, at a rate that undid what was learned above them"
    elif len(above) >= _OFTEN:
        severity, why = "warning", f"the {len(above)}th time that it climbed above where the run began"
    end = f"and was back at step {spike.back}" if spike.back is not None else "and has not come back so far"
    cause = (
        f"the loss jumped from {spike.level:.3g} to {spike.peak:.3g} at step {spike.step} {end}: {why}."
    )  # fmt: skip
    softmax = {"cross_entropy", "log_softmax"} & set(history.wheres("softmax_collapse_share"))
    _, norms = history.series("gradient_norm", name)
    usual = float(np.median(norms[np.isfinite(norms)])) if np.isfinite(norms).any() else np.nan
    bounded = remedies.SAFE_STEP if softmax else remedies.clip_at(2 * usual)
    cures = shortened(history, name, 2.0, bounded, rate_first=jump >= JUMP)
    return Sign(severity, cause, tuple(evidence), (name,) if name else (), spike.step,
                cures if severity != "info" else ())  # fmt: skip
