"""A trial: the script goes on in several branches, each with something else changed, and their losses are compared."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from surefoot.apply.branch import Branch, Trunk, branch, gather
from surefoot.apply.step_loss import StepLoss

_RISES = 4  # times as many steps while the script's own rate still rises
_LEAST = 4  # losses that can be compared
_LOST = 8  # losses in a row that are not finite end a branch; single ones may be a batch that is left out
_AS_GOOD = 0.1  # of what the best gains


class Trial:
    """Makes branches; in one, tells the loss of each step, and ends it when it was long enough."""

    def __init__(self) -> None:
        self._trunk: Trunk | None = None
        self._loss = StepLoss()
        self._length, self._lost = 0, 0
        self._rates: list[float] = []
        self._clock: Optimizer | None = None  # the one whose steps are counted

    def losses(self, changes: Sequence[Callable[[], None]], steps: int, seconds: float) -> list[list[float]] | None:
        """The loss of each step with each of several changes, on the same batches and random numbers.

        None in a branch, where the change was made: the caller is to return to the script at once.
        """
        many = max(1, (os.cpu_count() or 1) // max(1, torch.get_num_threads()))
        share = max(1.0, seconds * many / len(changes))
        branches: list[Branch] = []
        for change in changes:
            running = [b for b in branches if not b.over]
            if len(running) >= many:
                gather(running, any_one=True)
            made = branch(share)
            if isinstance(made, Trunk):
                self._trunk, self._length = made, steps
                try:
                    change()
                except Exception:
                    made.end()
                return None
            branches.append(made)
        gather(branches)
        return [b.told for b in branches]

    def at_backward(self, tensors: Any) -> None:
        """Keep the loss."""
        if self._trunk is not None:
            self._loss.at_backward(tensors)

    def before_step(self, optimizer: Optimizer) -> None:
        """Tell it."""
        if self._trunk is None:
            return
        self._clock = self._clock or optimizer
        if optimizer is not self._clock:
            return
        value = self._loss.value()
        self._loss.stepped()
        if value is None:
            return
        self._trunk.tell(value)
        self._rates.append(max((float(group.get("lr") or 0.0) for group in optimizer.param_groups), default=0.0))
        taken = len(self._rates)
        rising = self._rates[-1] > 1.05 * self._rates[taken // 2]
        self._lost = 0 if math.isfinite(value) else self._lost + 1
        if self._lost >= _LOST or taken >= self._length * (_RISES if rising else 1):
            self._trunk.end()

    def at_close(self) -> None:
        """The script's end is a branch's, too."""
        if self._trunk is not None:
            self._trunk.end()


def scores(losses: Sequence[Sequence[float]]) -> list[float] | None:
    """The mean loss over the last quarter of the steps; infinite where a fourth of it was not finite, or the branch
    ended before the others.

    None where there is nothing to compare, or where no loss came below its first value.
    """
    lengths = sorted(map(len, losses))
    common = lengths[(len(lengths) - 1) // 2]
    if common < _LEAST:
        return None
    means = []
    for told in losses:
        last = told[:common][-(common // 4) :] if len(told) >= common else []
        finite = [value for value in last if math.isfinite(value)]
        means.append(math.fsum(finite) / len(finite) if last and len(finite) > 0.75 * len(last) else math.inf)
    return means if min(means) < _start(losses) else None


def ranked(losses: Sequence[Sequence[float]]) -> list[int] | None:
    """The branches from the best to the worst; those that gain as much as the best within a tenth in their own order.

    What is gained is counted from the lowest start: a loss that was 10⁹ before other weights were drawn would make
    all that is left of it as good. None as for :func:`scores`.
    """
    means = scores(losses)
    if means is None:
        return None
    lowest = min(told[0] for told in losses if told and math.isfinite(told[0]))
    enough = min(means) + _AS_GOOD * max(0.0, lowest - min(means))
    return sorted(range(len(means)), key=lambda i: (max(enough, means[i]), i))


def _start(losses: Sequence[Sequence[float]]) -> float:
    """The highest first loss of a branch."""
    return max((told[0] for told in losses if told and math.isfinite(told[0])), default=-math.inf)
