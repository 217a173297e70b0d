"""``scheduler-misuse``: a learning rate that is not what its schedule was made for.

Only what the schedulers themselves say (how often they were stepped, and what their horizon is) and the series of the
rate are used. Cyclical rates, warm restarts and schedules by hand are left alone, for there the rise is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.levels import ROUNDING
from surefoot.findings.progress import fit
from surefoot.findings.rates import FADED, FALLEN, RateLevel
from surefoot.findings.remedies import best_of
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.cut_short import cut_short
from surefoot.findings.rules.early_end import ended_early
from surefoot.findings.rules.endless_warmup import ascends, begins_again, endless_warmup
from surefoot.findings.rules.one_player import OFTENER, one_player_over
from surefoot.findings.rules.plateau import told_backwards
from surefoot.findings.rules.schedule_cures import SCHEDULER_LAST, STEP_THE_SCHEDULER, schedule_for, step_every
from surefoot.runs.schema import Evidence, Remedy, Severity

_FEWEST = 64  # steps of an optimiser before anything is said
_OVERRUN = 1.25  # by then a seventh of the rate is back
_HARDLY = 0.5  # of the loss of a constant prediction: more is left than was learned from the inputs
_ENDS = "a cosine without restarts ends at its T_max; stepped on, the rate rises again to where it began"
_OVER = "half of the run so far had less than 1e-4 of the highest rate"
_WORTH = 32.0  # steps at the highest rate that a whole schedule adds up to: half of the fewest that are judged
_OF_ALL = 1 / 8  # of all steps so far, where those are more: an exponential has 3e-4 of its rate by then
_AT_MOST = 1 / 5  # the same where the loss was in full swing: an exponential has a hundredth left by then
_STAYED = 1.25  # times the steps of the fall to a hundredth: a run that ends with its schedule is over by then
_PASSED = 1.1  # the same where no step is left: a run that ends with its schedule has no such steps at all
_FASTER = 0.1  # of the rate at half of the steps: what falls as a power of them is never so low
_SPENT = "a hundredth of the highest rate is left and falls on, and all steps so far add up to few at that rate"
_AT_EACH = 0.9  # calls of a plateau scheduler to a step: it may have been made a little later
_FALLS, _SMALLER = 4, 0.999  # factors in a row, each smaller than the one before, by more than they are rounded by
_COMPOUNDS = "MultiplicativeLR multiplies what it finds: a factor that falls by itself makes the rate fall twice"


@rule("scheduler-misuse", needs=("schedule", "weights", "events"))
def scheduler_misuse(history: History) -> Sign | None:
    """Eleven ways, each a fact: warning, but for a faded rate where the loss is fit (down to a tenth of its
    first, and to half of a constant's; unless the rate is below 2⁻²⁴ of its highest and falls on, which no schedule
    that has ended does, or its scheduler was called twice as often as the optimiser steps) or a plateau scheduler
    lives (info).

    * a ``CosineAnnealingLR`` was stepped to 1.25 times its ``T_max`` and the rate rises again;
    * another schedule that tells its end has been stepped to ten times that, and a quarter of its rate is left at most;
    * the rate has been below 1e-4 of its highest value for half of the run (64 steps at least); or below 1e-2 for a
      fifth of it, and a tenth of what it was at half of it, where all steps so far add up to no more than 32 at the
      highest rate; or it is set by a ``MultiplicativeLR`` whose last four factors fell, each below the one before; or
      below 1e-4 for a fifth of it, or zero for an eleventh, by a scheduler that was called twice as often, at least, as
      the optimiser steps;
    * of the players of a game one has had less than 1e-2 of its highest rate for a fifth of the run, and less than 1e-2
      of what another has of its own;
    * a ``ReduceLROnPlateau`` was given a number that gets better the other way than its ``mode`` says;
    * a scheduler is stepped, and its optimiser, which shares parameters with one that steps, never is, or no more
      since that one was made, which has no scheduler of its own;
    * the rate is below zero;
    * the rate rises from next to nothing again and again, three times in a row: a warm-up that is made anew;
    * the run is over, without an error and far from a fit, and its rate rose from the first step to the last;
    * the run is over, without an error, and a scheduler that was alive to its end was never stepped;
    * the run is over, and a scheduler whose horizon is the number of steps that the optimiser took was stepped less
      than a quarter as often (or not at all, if it went with the function that had made it: whether it was stepped
      after the last step of a run, once an epoch, can then no more be seen).
    """
    events = history.events("schedulers")
    facts: list[Mapping[str, Any]] = list(events[-1].data["schedulers"]) if events else []
    for found in facts:
        sign = _overrun(history, found) or _wrong_optimizer(history, found) or told_backwards(history, found)
        if sign is None:
            cures = best_of((*_stretched(history, found), schedule_for(history.step)))
            sign = ended_early(history, found, cures)
        if sign is not None:
            return sign
    if events and _ended_well(history):
        final = bool(events[-1].data.get("final"))
        for found in facts:
            sign = _never_stepped(history, found) or _too_rarely(history, found) if final else _gone(history, found)
            if sign is not None:
                return sign
    over = ascends(history) or one_player_over(history, facts) or _faded(history, facts)
    return over or endless_warmup(history) or begins_again(history)


def _overrun(history: History, found: Mapping[str, Any]) -> Sign | None:
    name, horizon = found["name"], found["horizon"]
    if found["type"] != "CosineAnnealingLR" or not horizon:
        return None
    steps = history.value("scheduler_steps", name)
    if not steps >= _OVERRUN * horizon or steps < horizon + 2:
        return None
    evidence = (Evidence("scheduler_steps", name, history.step, steps, float(horizon), _ENDS),)
    cause = (
        f"{name} was made for {horizon:g} steps and has been stepped {steps:.0f} times: the learning rate goes up and "
        f"down with a period of {2 * horizon:g} steps of the scheduler instead of ending."
    )
    cures = best_of((*_stretched(history, found), schedule_for(history.step)))
    return Sign("warning", cause, evidence, _where(found), None, cures)


def _wrong_optimizer(history: History, found: Mapping[str, Any]) -> Sign | None:
    since = found.get("left_since")
    if not (found.get("orphan") or since is not None) or history.step < _FEWEST:
        return None
    name = found["name"]
    evidence = (Evidence("scheduler_steps", name, history.step, history.value("scheduler_steps", name), 0.0,
                         "the scheduler moves, its optimizer does not"),)  # fmt: skip
    rests = "never steps" if since is None else f"has not stepped since step {since}"
    cause = f"{name} sets the rate of an optimizer that {rests}: another steps the same parameters in its place."
    return Sign("warning", cause, evidence, (), since, (SCHEDULER_LAST,))


def _never_stepped(history: History, found: Mapping[str, Any]) -> Sign | None:
    if found["steps"] != 0 or found["inner"] or found["optimizer"] is None or found["optimizer_steps"] < _FEWEST:
        return None
    name, taken = found["name"], found["optimizer_steps"]
    evidence = (Evidence("scheduler_steps", name, history.step, 0.0, 1.0, f"the optimizer took {taken} steps"),)
    cause = f"{name} was made and never stepped: the learning rate stayed where it began, for all of {taken} steps."
    cures = best_of((*(_stretched(history, found) or (STEP_THE_SCHEDULER,)), schedule_for(taken)))
    return Sign("warning", cause, evidence, _where(found), 1, cures)


def _gone(history: History, found: Mapping[str, Any]) -> Sign | None:
    """What the last look saw of a scheduler that did not outlive the run."""
    name, taken = found["name"], history.step
    steps, counts = history.series("scheduler_steps", name)
    steps, counts = steps[counts == counts], counts[counts == counts]
    horizon = found["horizon"]
    if not len(steps) or 2 * steps[-1] < taken or not horizon or not 0.8 * taken <= horizon <= 1.2 * taken:
        return None
    # as often as it would have been by the end, had it gone on so
    seen = {**found, "steps": round(float(counts[-1]) * taken / float(steps[-1])), "optimizer_steps": taken}
    return _never_stepped(history, seen) or _too_rarely(history, seen)


def _too_rarely(history: History, found: Mapping[str, Any]) -> Sign | None:
    horizon, taken, steps = found["horizon"], found["optimizer_steps"], found["steps"]
    if not horizon or taken < _FEWEST or not 0.8 * taken <= horizon <= 1.2 * taken or not 0 < steps < horizon / 4:
        return None
    name = found["name"]
    evidence = (Evidence("scheduler_steps", name, history.step, float(steps), float(horizon),
                         f"its horizon is the number of steps that the optimizer took ({taken})"),)  # fmt: skip
    cause = (
        f"{name} was made for {horizon:g} steps and stepped {steps} times: once an epoch, where once a batch was meant."
    )
    cures = best_of((STEP_THE_SCHEDULER, schedule_for(taken)))
    return Sign("warning", cause, evidence, _where(found), 1, cures)


def _faded(history: History, facts: list[Mapping[str, Any]]) -> Sign | None:
    for name, level in history.rates.items():
        mine = next((found for found in facts if found["optimizer"] == name and not found["inner"]), None)
        compounds = _compounds(history, name, mine)
        gathered = _called_for_batches(history, name, level, mine)
        over = compounds or gathered or _long_over(history, name, level) or _spent(history, name, level)
        if over is None:
            continue
        began, told, evidence = over
        plateau = any(found["type"] == "ReduceLROnPlateau" and not _each_step(history, found) for found in facts)
        cause = f"the learning rate fell from {level.peak:.3g} to {level.newest:.2g} by step {history.step}: {told}."
        done = fit(history) and not _like_a_constant(history) and not _falls_on(history, name, level)
        severity: Severity = "info" if (plateau or done) and not (compounds or gathered) else "warning"
        # where its length is unknown: of an even fall to 1e-4 a hundredth is left after half of the way
        guess = (level.faded_step or history.step) / 2
        stretched = _stretched(history, mine, guess) if mine is not None else ()
        cures = best_of((*stretched, schedule_for(history.step)))
        return Sign(severity, cause, (evidence,), (name,) if name else (), began, cures)
    return None


def _each_step(history: History, found: Mapping[str, Any]) -> bool:
    """It is given a number at each step: of one batch, of which the next has another, whatever the run does."""
    steps, counts = history.measured("scheduler_steps", found["name"])
    return len(steps) > 0 and bool(counts[-1] >= max(_FEWEST / 2, _AT_EACH * steps[-1]))


_Over = tuple[int, str, Evidence]  # since when a schedule is over, how it is told, and what shows it


def _long_over(history: History, name: str, level: RateLevel) -> _Over | None:
    """Half of the run had next to nothing."""
    began = level.faded_step
    if began is None or history.step < 2 * began or history.step - began < _FEWEST:
        return None
    told = f"next to nothing has been left since step {began}, and the schedule was over long before the run"
    return began, told, Evidence("learning_rate", name, history.step, level.newest, FADED * level.peak, _OVER)


def _called_for_batches(history: History, name: str, level: RateLevel, found: Mapping[str, Any] | None) -> _Over | None:
    """A schedule that counts the optimiser's steps, and is called at each of the batches whose gradients are gathered
    for one: it is over when the run has come to the same part of its way, however well the loss does by then."""
    began = level.faded_step
    stayed = _PASSED if level.newest <= ROUNDING * level.peak else _STAYED
    if found is None or began is None or history.step < max(_FEWEST, stayed * began):
        return None
    steps, counts = history.measured("scheduler_steps", found["name"])
    if not len(steps) or not counts[-1] >= OFTENER * steps[-1]:
        return None
    often = float(counts[-1]) / float(steps[-1])
    told = (
        f"{found['name']} was called {often:.3g} times to each step of its optimizer, and nothing has been left since "
        f"step {began}: it is called for each batch where gradients of several are gathered for a step"
    )
    source = "calls of the scheduler to a step of its optimizer: a schedule is made for steps"
    return began, told, Evidence("scheduler_steps / step", found["name"], int(steps[-1]), often, OFTENER, source)


def _spent(history: History, name: str, level: RateLevel) -> _Over | None:
    """A schedule that falls by the batch and was made for epochs is worth a few steps in all. That is to be seen as
    soon as it is spent, for of one that falls by the same factor again and again little is left to come."""
    began = level.fallen_step
    if began is None or history.step < max(_FEWEST, _STAYED * began):
        return None
    few = level.worth <= max(_WORTH, _OF_ALL * history.step)
    if not few and not (level.worth <= _AT_MOST * history.step and cut_short(history, level)):
        return None
    steps, rates = history.measured("learning_rate", name)
    if not rates[-1] <= _FASTER * rates[2 * steps >= history.step][0] and level.faded_step is None:
        return None  # it falls ever more slowly, or rests where it is meant to
    told = f"all its steps together are worth {level.worth:.3g} at the highest rate, and those to come hardly one more"
    return began, told, Evidence("learning_rate", name, history.step, level.newest, FALLEN * level.peak, _SPENT)


def _compounds(history: History, name: str, found: Mapping[str, Any] | None) -> _Over | None:
    """A schedule in closed form, taken for the factor from one step to the next."""
    if found is None or found["type"] != "MultiplicativeLR" or history.step < _FEWEST // 2:
        return None
    steps, rates = history.measured("learning_rate", name)
    moved = np.flatnonzero(np.diff(rates)) + 1
    if len(moved) < _FALLS or not rates.min() > 0:
        return None
    factors = (rates[moved] / rates[moved - 1])[-_FALLS:]
    if not factors[0] < 1 or not (factors[1:] < _SMALLER * factors[:-1]).all():
        return None
    told = (
        f"it is multiplied by {factors[-1]:.3g} now and was by {factors[0]:.3g} three times before. The function gives "
        "the schedule itself, as LambdaLR takes it, where MultiplicativeLR takes the factor from one step to the next"
    )
    last, before = float(factors[-1]), float(factors[-2])
    evidence = Evidence("learning_rate, as a factor", name, history.step, last, before, _COMPOUNDS)
    return int(steps[moved[-_FALLS]]), told, evidence


def _falls_on(history: History, name: str, level: RateLevel) -> bool:
    """The rate is lower by each half of the kept rows still, where no step is left of it: a schedule that has ended
    rests, at zero or above; this one multiplies itself, or counts batches as epochs."""
    _, rates = history.measured("learning_rate", name)
    return bool(0 < level.newest <= ROUNDING * level.peak) and bool(rates[len(rates) // 2] > rates[-1])


def _like_a_constant(history: History) -> bool:
    """Some loss fell to half of what a constant prediction scores at most: from far above it, a tenth is no fit."""
    return any(level.known and level.share > _HARDLY for level in history.losses.values())


def _ended_well(history: History) -> bool:
    last = history.events("exit")
    return bool(last) and not last[-1].data.get("code") and not last[-1].data.get("exception")


def _where(found: Mapping[str, Any]) -> tuple[str, ...]:
    return (found["optimizer"],) if found["optimizer"] else ()


def _stretched(history: History, found: Mapping[str, Any], guess: float = 0) -> tuple[Remedy, ...]:
    """The same schedule, stepped so that it ends with the run; none where its length is not known.

    ``guess`` is its length if the scheduler does not tell it, in steps of the optimiser as the script steps it now.
    """
    length = found["horizon"] or found.get("fades") or guess * found["steps"] / max(1, found["optimizer_steps"])
    if not length:
        return ()
    return (step_every(max(1, round(max(history.step, found["optimizer_steps"]) / length))),)
