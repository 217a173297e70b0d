"""A plateau scheduler that is told the wrong way: what gets better looks to it like a loss that does not.

``ReduceLROnPlateau`` lowers the rate where its number has not been better for ``patience`` calls. Given an accuracy in
the mode for losses it keeps the very first one as the best for ever, and lowers the rate because the run goes well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from surefoot.analysis.printed_numbers import direction
from surefoot.findings.history import History
from surefoot.findings.progress import one_loss
from surefoot.findings.remedies import best_of, floor_rate
from surefoot.findings.rule import Sign
from surefoot.runs.schema import Evidence, Remedy

TOLD_LESS, TOLD_MORE = (
    Remedy(
        name=f"ReduceLROnPlateau in mode {mode!r}",
        why="the mode says which way the number gets better: up, of an accuracy or r²; down, of a loss or an error",
        how=(
            "# after: optimizer\n"
            "import torch\n"
            f'scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="{mode}")  # yours\n'
        ),
        apply=f"plateau-mode:mode={mode}",
    )
    for mode in ("min", "max")
)
_PRINTED = 2e-3  # of a number, by which it may differ from what is printed of it: three digits
_ROUNDED = 1e-6  # of a loss that is recorded in float32
_ENOUGH = 0.1  # of the highest rate: a step of a schedule
_WAYS = {"min": -1, "max": 1}
_SOURCE = "the best number that the scheduler knows is the first that it was given: no later one was better by its mode"


def told_backwards(history: History, found: Mapping[str, Any]) -> Sign | None:
    """The first number that a plateau scheduler was given is its best still, after more calls than its patience, and
    is one that the script prints (or the validation loss), whose name says that it is better now."""
    mode, best = found.get("mode"), found.get("best")
    if not found.get("unbettered") or mode not in _WAYS or best is None:
        return None
    if mode == "max" and (told := _told_the_loss(history, best)) is not None:
        return _backwards(history, found, "the loss", told)
    for signal in ("printed_number", "validation_loss"):
        for where in history.wheres(signal):
            way = direction(where) if signal == "printed_number" else -1
            if way != -_WAYS[mode]:
                continue
            steps, values = history.measured(signal, where)
            same = np.flatnonzero(np.abs(values - best) <= _PRINTED * abs(best))
            if not len(same) or same[0] == len(values) - 1:
                continue
            now = float(np.median(values[same[0] + 1 :][-3:]))
            if way * (now - best) > _PRINTED * abs(best):
                return _backwards(history, found, where, (int(steps[same[0]]), float(best), now))
    return None


def _told_the_loss(history: History, best: float) -> tuple[int, float, float] | None:
    """It is the training loss: to the last digit that of a step, or a number above 1 (no accuracy, nor any share) from
    within the range that the loss has come down through."""
    if not one_loss(history):
        return None
    ((name, level),) = list(history.losses.items())[:1]
    steps, values = history.measured("loss", name)
    same = np.flatnonzero(np.abs(values - best) <= _ROUNDED * abs(best))
    among = level.known and best > 1 and level.best <= best <= level.first
    if not (len(same) or among) or not level.recent < (1 - _ENOUGH) * best:
        return None
    return int(steps[same[0]]) if len(same) else level.first_step, float(best), level.recent


def _backwards(history: History, found: Mapping[str, Any], where: str, went: tuple[int, float, float]) -> Sign:
    began, best, now = went
    name, mode = found["optimizer"] or "", found["mode"]
    cause = (
        f"{found['name']} is told {where} in mode {mode!r}: from {best:.4g} to {now:.4g} it got better, and looks "
        "worse to the scheduler, which lowers the rate because the run goes well."
    )
    evidence = Evidence("number given to the scheduler", where, history.step, now, best, _SOURCE)
    level = history.rates.get(name)
    held = () if level is None or not level.peak > 0 else (floor_rate(_ENOUGH * level.peak),)
    return Sign(
        "warning",
        cause,
        (evidence,),
        (name,) if name else (),
        began,
        best_of((TOLD_LESS if mode == "max" else TOLD_MORE, *held)),
    )
