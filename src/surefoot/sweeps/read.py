"""What a run of a sweep tells: how it ended, its losses, its size, and the numbers that warn early."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from surefoot.runs import Run, open_run
from surefoot.sweeps.attempt import ended
from surefoot.sweeps.plan import Plan

Series = tuple[np.ndarray, np.ndarray]
"""Steps, and finite positive values at them."""

STOPS = ("divergence", "non-finite")
"""Findings that end a run of a sweep: it is lost."""
_TAIL = 0.1  # of the steps: the final loss is the mean over them


@dataclass(frozen=True)
class Outcome:
    """One run of a sweep.

    Attributes
    ----------
    name, values : of its folder; placeholder to value
    state : ``"finished"``, ``"diverged"`` (stopped early, or ended so), ``"failed"`` (an error of the script's) or
        ``"missing"``
    code : exit code; None if it is missing
    seconds : it took, start and end included
    steps : that it took
    parameters : outside of embedding tables; NaN if not known
    first_loss : of the first step
    train_loss : mean over the last tenth of the steps; NaN where it diverged or failed
    valid_loss : the last one that was seen, the same
    numbers : of each quantity that is forecast, its series over the looks
    """

    name: str
    values: Mapping[str, str]
    state: Literal["finished", "diverged", "failed", "missing"]
    code: int | None = None
    seconds: float = 0.0
    steps: int = 0
    parameters: float = math.nan
    first_loss: float = math.nan
    train_loss: float = math.nan
    valid_loss: float = math.nan
    numbers: Mapping[str, Series] | None = None


def read(sweep: Plan, folder: str | Path) -> list[Outcome]:
    """The outcomes of all trials, in their order."""
    return [_outcome(Path(folder) / trial.name, trial.name, trial.values) for trial in sweep.trials]


def _outcome(folder: Path, name: str, values: Mapping[str, str]) -> Outcome:
    end = ended(folder)
    if end is None:
        return Outcome(name, values, "missing")
    code, seconds = int(end["code"]), float(end["seconds"])
    try:
        run = open_run(folder)
    except (OSError, ValueError):  # it ended before its first step
        return Outcome(name, values, "failed", code, seconds)
    first, train, valid = _losses(run)
    lost = any(f.id in STOPS and f.severity == "critical" for f in run.findings) or math.isinf(train)
    state: Literal["finished", "diverged", "failed"] = "diverged" if lost else "failed" if code else "finished"
    if state != "finished":
        train = valid = math.nan
    return Outcome(name, values, state, code, seconds, run.steps, _size(run), first, train, valid, _numbers(run))


def _losses(run: Run) -> tuple[float, float, float]:
    """First, final (∞ where it is no finite number) and last validation loss; NaN where there is none."""
    first = final = valid = math.nan
    if "loss" in run.signals():
        losses = run.frame("loss").iloc[:, 0].dropna()
        if len(losses):
            first = float(losses.iloc[0])
            tail = losses[losses.index > (1 - _TAIL) * losses.index[-1]]
            final = float(tail.mean()) if np.isfinite(tail).all() else math.inf
    if "validation_loss" in run.signals():
        seen = run.frame("validation_loss").iloc[:, 0].dropna()
        valid = float(seen.iloc[-1]) if len(seen) else math.nan
    return first, final, valid


def _size(run: Run) -> float:
    told = run.events("modules")
    modules = told[-1].data.get("modules", ()) if told else ()
    numbers = [int(module["parameters"] or 0) for module in modules if "Embedding" not in str(module["type"])]
    return float(sum(numbers)) or math.nan


def _numbers(run: Run) -> dict[str, Series]:
    """The largest over places of each signal at each look; of gradients the smallest over layers, over Adam's ε."""
    found: dict[str, Series] = {}
    for signal in ("attention_logit_max", "logit_max", "safe_ratio"):
        if signal in run.signals():
            frame = run.frame(signal)
            found[signal] = _series(frame.index.to_numpy(), frame.max(axis=1).to_numpy(float))
    eps = _eps(run)
    if eps and "gradient_rms" in run.signals():
        frame = run.frame("gradient_rms")
        # a layer whose gradient is exactly 0 is off, whatever ε is
        smallest = frame.where(frame > 0).min(axis=1).to_numpy(float)
        found["gradient_over_eps"] = _series(frame.index.to_numpy(), smallest / eps)
    return {name: series for name, series in found.items() if len(series[0])}


def _series(steps: np.ndarray, values: np.ndarray) -> Series:
    kept = np.isfinite(values) & (values > 0) & (steps > 0)
    return steps[kept], values[kept]


def _eps(run: Run) -> float | None:
    told = run.events("optimizers")
    for optimizer in told[-1].data.get("optimizers", ()) if told else ():
        eps = optimizer.get("defaults", {}).get("eps")
        if isinstance(eps, int | float) and eps > 0:
            return float(eps)
    return None
