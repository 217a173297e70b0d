"""A trial: the script goes on in several branches, each with something else changed, and they are compared.

What is compared is what a run is for. That is the script's own validation loss, where it takes one as it goes, so that
a remedy that only fits the training data faster does not win; else what it prints by a name that says whether more or
less of it is good (an accuracy, an error: :mod:`surefoot.analysis.printed_numbers`); else the loss of the steps.
Branches that are to go on for some steps only are compared by that loss, which says soonest what learns at all.
"""

from __future__ import annotations

import atexit
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from surefoot.apply.branch import Branch, Trunk, explore, spent
from surefoot.apply.cure import Cure
from surefoot.apply.printed import Printed
from surefoot.apply.step_loss import StepLoss

_RISES = 4  # times as many steps while the script's own rate still rises
_LEAST = 4  # losses that can be compared
_EVALUATIONS = 2  # that can be; a single one, at a script's end, is of its test data, which nothing may be chosen by
_LOST = 8  # losses in a row that are not finite end a branch; single ones may be a batch that is left out
_SLOW = 4  # a branch that took so many times fewer steps than another is not waited for
_SHORTER = 2  # a script that has its own way to end may do so after so many times fewer steps than in another branch
_AS_GOOD = 0.1  # of what the best gains


@dataclass(frozen=True)
class Course:
    """How the script went on in a branch.

    Attributes
    ----------
    losses : of each step
    evaluations : validation losses, each with the steps that were taken before it
    printed : the same of what the script prints, turned so that less is better
    cut : its time was up before it had come to its end
    closed : it came to the script's end
    """

    losses: tuple[float, ...]
    evaluations: tuple[tuple[int, float], ...] = ()
    printed: tuple[tuple[int, float], ...] = ()
    cut: bool = False
    closed: bool = False

    @classmethod
    def of(cls, one: Branch) -> Course:
        """What a branch told: of each step its loss, and validation loss and printed number before it (NaN: none); of
        the end NaN and those."""
        losses, *others = (one.told[k::3] for k in range(3))
        closed = bool(losses) and math.isnan(losses[-1])
        evaluations, printed = (tuple((i, x) for i, x in enumerate(told) if not math.isnan(x)) for told in others)
        return cls(tuple(losses[:-1] if closed else losses), evaluations, printed, one.cut, closed)

    def as_by_itself(self, alone: Course | None) -> bool:
        """Whether this branch was cut before anything in it came to differ from the script ``alone``."""
        if alone is None or alone is self or not self.cut:
            return False
        both = min(len(self.losses), len(alone.losses))
        return both >= _LEAST and self.losses[:both] == alone.losses[:both]


class Trial:
    """Makes branches; in one, tells the loss of each step and of each evaluation, and ends it when it was long enough.

    Parameters
    ----------
    cure : whose trial it is: all cures are put in place again in a branch
    """

    def __init__(self, cure: Cure) -> None:
        self._cure = cure
        self.spent = 0.0  # seconds of computing on each core
        self._trunk: Trunk | None = None
        self._loss = StepLoss()
        self._length: int | None = None
        self._lost = 0
        self._rates: list[float] = []
        self._clock: Optimizer | None = None  # the one whose steps are counted
        self._evaluated: dict[str, float] = {}  # since the last step
        self._functions: set[str] = set()  # that the first evaluation was taken by
        self._printed = Printed()

    def courses(self, changes: Sequence[Callable[[], None]], steps: int | None, seconds: float) -> list[Course] | None:
        """How the script goes on with each of several changes, on the same batches and random numbers.

        For ``steps``, or to its end, and no longer than ``seconds`` of computing in all. None in a branch, where the
        change was made: the caller is to return to the script at once.
        """

        def begin(trunk: Trunk) -> None:
            self._trunk, self._length = trunk, steps
            self._cure.reinstate()
            self._cure.desk.listen(self._evaluated.__setitem__)
            self._printed.listen()
            atexit.register(self.at_close)

        branches = explore(changes, seconds, begin)
        if branches is None:
            return None
        self.spent += spent(branches)
        return [Course.of(b) for b in branches]

    def at_backward(self, tensors: Any) -> None:
        """Keep the loss."""
        if self._trunk is not None:
            self._loss.at_backward(tensors)

    def before_step(self, optimizer: Optimizer) -> None:
        """Tell it, and what was evaluated before it."""
        if self._trunk is None:
            return
        self._clock = self._clock or optimizer
        if optimizer is not self._clock:
            return
        value = self._loss.value()
        self._loss.stepped()
        if value is None:
            return
        self._trunk.tell(math.inf if math.isnan(value) else value, self._validation(), self._printed.badness())
        self._rates.append(max((float(group.get("lr") or 0.0) for group in optimizer.param_groups), default=0.0))
        taken = len(self._rates)
        rising = self._rates[-1] > 1.05 * self._rates[taken // 2]
        self._lost = 0 if math.isfinite(value) else self._lost + 1
        enough = self._length is not None and taken >= self._length * (_RISES if rising else 1)
        if self._lost >= _LOST or enough:
            self._trunk.end()

    def _validation(self) -> float:
        """The validation loss since the last step, NaN if there was none; a loss that is not a number is infinite.

        Of several sets of data the highest (a model is better on what it was trained on), of several losses the sum.
        """
        self._cure.desk.evaluated()
        highest: dict[str, float] = {}
        for name, loss in self._evaluated.items():
            function = name.partition(" ")[0]
            highest[function] = max(highest.get(function, -math.inf), math.inf if math.isnan(loss) else loss)
        self._evaluated.clear()
        self._functions = self._functions or set(highest)
        whole = highest.keys() >= self._functions and self._functions
        return math.fsum(highest[function] for function in self._functions) if whole else math.nan

    def at_close(self) -> None:
        """The script's end is a branch's, too."""
        if self._trunk is not None:
            self._trunk.tell(math.nan, self._validation(), self._printed.badness())
            self._trunk.end()


def scores(courses: Sequence[Course], by_losses: bool = False) -> list[float] | None:
    """What each came to, over as many steps as all have taken: the lower the better.

    The mean over the last quarter of the evaluations, where most took two; else of the printed numbers, where most
    printed two; else, or ``by_losses``, of the steps' losses. Infinite for one that did not as most did, where a fourth
    of the steps' losses in their last quarter was not finite, or where the branch broke off before the others. None
    where there is nothing to compare, or where nothing came below the highest first value.
    """
    compared = _compared(courses, by_losses)
    if compared is None:
        return None
    means, firsts = compared
    return means if _gained(means, firsts) else None


def ranked(courses: Sequence[Course]) -> list[int] | None:
    """The branches from the best to the worst; those that gain as much as the best within a tenth in their own order.

    What is gained is counted from the lowest first value: a loss that was 10⁹ before other weights were drawn would
    make all that is left of it as good. None as for :func:`scores`, unless some came to the end and others did not: a
    loss that does not fall by itself, as a policy's, tells at least that.
    """
    compared = _compared(courses, by_losses=False)
    if compared is None:
        return None
    means, firsts = compared
    gained = _gained(means, firsts)
    if not gained and not min(means) < math.inf in means:
        return None
    enough = min(means) + _AS_GOOD * max(0.0, min(firsts) - min(means)) if gained else max(filter(math.isfinite, means))
    return sorted(range(len(means)), key=lambda i: (max(enough, means[i]), i))


def _gained(means: Sequence[float], firsts: Sequence[float]) -> bool:
    """Some branch came below the highest first value."""
    return min(means) < max(firsts, default=-math.inf)


def _compared(courses: Sequence[Course], by_losses: bool) -> tuple[list[float], list[float]] | None:
    """What each came to, and the finite first values."""
    longest = max(len(c.losses) for c in courses)
    common = min([longest, *(len(c.losses) for c in courses if c.cut and len(c.losses) > longest / _SLOW)])
    if common < _LEAST:
        return None
    values = [list(c.losses[:common]) for c in courses]
    whole = [len(c.losses) >= common / (_SHORTER if c.closed else 1) for c in courses]
    sound = [long and _mean(_last(told), 0.75) < math.inf for told, long in zip(values, whole, strict=True)]
    share = 0.75
    for told in () if by_losses or not any(sound) else ("evaluations", "printed"):
        there = [[value for step, value in getattr(c, told) if step <= common] for c in courses]
        compared = [len(numbers) >= _EVALUATIONS and well for numbers, well in zip(there, sound, strict=True)]
        if 2 * sum(compared) > sum(sound):
            values, share, sound = there, 1.0, compared
            break
    means = [_mean(_last(told), share) if well else math.inf for told, well in zip(values, sound, strict=True)]
    return means, [told[0] for told in values if told and math.isfinite(told[0])]


def _last(values: Sequence[float]) -> Sequence[float]:
    """The last quarter."""
    return values[-max(1, len(values) // 4) :]


def _mean(values: Sequence[float], share: float) -> float:
    """The mean of those that are finite; infinite where they are less than a share of all."""
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite and len(finite) >= share * len(values) else math.inf
