"""``scheduler-misuse``: a learning rate that is not what its schedule was made for.

Only what the schedulers themselves say (how often they were stepped, and what their horizon is) and the series of the
rate are used. Cyclical rates, warm restarts and schedules by hand are left alone, for there the rise is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from surefoot.findings.history import History
from surefoot.findings.progress import fit
from surefoot.findings.rates import FADED, RateLevel
from surefoot.findings.rule import Sign, rule
from surefoot.runs.schema import Evidence, Remedy, Severity

SCHEDULER_LAST = Remedy(
    name="make the scheduler after the optimizer",
    why="a scheduler sets the rate of the very object that it was given",
    how=(
        "# after: optimizer\n"
        "import torch\n"
        "scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)  # yours\n"
    ),
    apply="schedule:every=auto",
)
STEP_THE_SCHEDULER = Remedy(
    name="scheduler.step()",
    why="a scheduler moves only when it is stepped: once a batch, or once an epoch, as its horizon counts",
    how=(
        "# replace: optimizer.step()\n"
        "import torch\n"
        'if "scheduler" not in globals():\n'
        "    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)  # yours\n"
        "optimizer.step()\n"
        "scheduler.step()\n"
    ),
    apply="schedule",
)
_FEWEST = 64  # steps of an optimiser before anything is said
_OVERRUN = 1.5
_ROUNDED = 2.0**-24  # half a unit in the last place of float32: of a rate, no step is left
_HARDLY = 0.5  # of the loss of a constant prediction: more is left than was learned from the inputs
_ENDS = "a cosine without restarts ends at its T_max; stepped on, the rate rises again to where it began"
_OVER = "half of the run so far had less than 1e-4 of the highest rate"


@rule("scheduler-misuse", needs=("schedule", "weights", "events"))
def scheduler_misuse(history: History) -> Sign | None:
    """Five ways, each a fact: warning, but for a faded rate where the loss is fit (down to a tenth of its
    first, and to half of a constant's; unless the rate is below 2⁻²⁴ of its highest and falls on, which no schedule
    that has ended does) or a plateau scheduler lives (info).

    * a ``CosineAnnealingLR`` was stepped to 1.5 times its ``T_max`` and the rate rises again;
    * the rate has been below 1e-4 of its highest value for half of the run (64 steps at least);
    * a scheduler is stepped, and its optimiser, which shares parameters with one that steps, never is;
    * the run is over, without an error, and a scheduler that was alive to its end was never stepped;
    * the run is over, and a scheduler whose horizon is the number of steps that the optimiser took was stepped less
      than a quarter as often (or not at all, if it went with the function that had made it: whether it was stepped
      after the last step of a run, once an epoch, can then no more be seen).
    """
    events = history.events("schedulers")
    facts: list[Mapping[str, Any]] = list(events[-1].data["schedulers"]) if events else []
    for found in facts:
        sign = _overrun(history, found) or _wrong_optimizer(history, found)
        if sign is not None:
            return sign
    if events and _ended_well(history):
        final = bool(events[-1].data.get("final"))
        for found in facts:
            sign = _never_stepped(history, found) or _too_rarely(history, found) if final else _gone(history, found)
            if sign is not None:
                return sign
    return _faded(history, facts)


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
    return Sign(
        "warning", cause, evidence, _where(found), None, (*_stretched(history, found), schedule_for(history.step))
    )


def _wrong_optimizer(history: History, found: Mapping[str, Any]) -> Sign | None:
    if not found.get("orphan") or history.step < _FEWEST:
        return None
    name = found["name"]
    evidence = (Evidence("scheduler_steps", name, history.step, history.value("scheduler_steps", name), 0.0,
                         "the scheduler moves, its optimizer does not"),)  # fmt: skip
    cause = f"{name} sets the rate of an optimizer that never steps: another steps the same parameters in its place."
    return Sign("warning", cause, evidence, (), None, (SCHEDULER_LAST,))


def _never_stepped(history: History, found: Mapping[str, Any]) -> Sign | None:
    if found["steps"] != 0 or found["inner"] or found["optimizer"] is None or found["optimizer_steps"] < _FEWEST:
        return None
    name, taken = found["name"], found["optimizer_steps"]
    evidence = (Evidence("scheduler_steps", name, history.step, 0.0, 1.0, f"the optimizer took {taken} steps"),)
    cause = f"{name} was made and never stepped: the learning rate stayed where it began, for all of {taken} steps."
    cures = _stretched(history, found) or (STEP_THE_SCHEDULER,)
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
    return Sign("warning", cause, evidence, _where(found), 1, (STEP_THE_SCHEDULER,))


def _faded(history: History, facts: list[Mapping[str, Any]]) -> Sign | None:
    for name, level in history.rates.items():
        began, peak, rate = level.faded_step, level.peak, level.newest
        if began is None or history.step < 2 * began or history.step - began < _FEWEST:
            continue
        plateau = any(found["type"] == "ReduceLROnPlateau" for found in facts)
        evidence = (Evidence("learning_rate", name, history.step, rate, FADED * peak, _OVER),)
        cause = (
            f"the learning rate fell from {peak:.3g} to {rate:.2g} by step {began} and has stayed there until step "
            f"{history.step}: the schedule was over long before the run."
        )
        done = fit(history) and not _like_a_constant(history) and not _falls_on(history, name, level)
        severity: Severity = "info" if plateau or done else "warning"
        mine = next((found for found in facts if found["optimizer"] == name and not found["inner"]), None)
        # where its length is unknown: of an even fall to 1e-4 a hundredth is left after half of the way
        cures = (*(_stretched(history, mine, began / 2) if mine is not None else ()), schedule_for(history.step))
        return Sign(severity, cause, evidence, (name,) if name else (), began, cures)
    return None


def _falls_on(history: History, name: str, level: RateLevel) -> bool:
    """The rate is lower by each half of the kept rows still, where no step is left of it: a schedule that has ended
    rests, at zero or above; this one multiplies itself, or counts batches as epochs."""
    _, rates = history.measured("learning_rate", name)
    return bool(0 < level.newest <= _ROUNDED * level.peak) and bool(rates[len(rates) // 2] > rates[-1])


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


def step_every(steps: int) -> Remedy:
    """A scheduler moves once in so many steps of its optimiser."""
    if steps == 1:
        return STEP_THE_SCHEDULER
    return Remedy(
        name="scheduler.step() less often",
        why="the schedule that was meant, spread over the run: its horizon counts calls of scheduler.step()",
        how=(
            "# replace: scheduler.step()\n"
            'scheduler.calls = getattr(scheduler, "calls", 0) + 1  # calls once a batch\n'
            f"if scheduler.calls % {steps} == 0:\n"
            "    scheduler.step()\n"
        ),
        apply=f"schedule:every={steps}",
    )


def schedule_for(steps: int) -> Remedy:
    """A cosine over the length of the run, in the place of what is stepped now."""
    return Remedy(
        name="a schedule as long as the run",
        why="the horizon counts calls of scheduler.step(): batches here; use the number of all batches of the run",
        how=(
            "# replace: scheduler.step()\n"
            "import torch\n"
            f'if getattr(scheduler, "T_max", None) != {max(1, steps)}:\n'
            f"    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max={max(1, steps)})\n"
            "scheduler.step()\n"
        ),
    )
