"""How often a look is affordable: an opening credit, then a share of the time the run's own steps take."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from typing import Literal

CREDIT_LOOKS = 8
# Seconds of looks on credit, the first apart: it finds the models and loads what looks need, and is a part of starting.
# What the looks that the opening still owes will take is kept for them; of the rest readings dearer than a look are
# done, and what is left at the end is for steps that turn odd later.
CREDIT_SECONDS = 0.8
LOOKS_OWN = 0.3  # of them, what looks have whatever dear readings took: a first one may load much, and take longer
# Seconds of looks between and after those of the opening, two an octave and from step 64 on four: a run of some hundred
# short steps earns none of its own, and what begins late in it would be in no look.
BETWEEN_SECONDS = 0.5
# At step 4 a dear reading may take this share of that rest, so that each kind is done once before the dearest, at step
# 8, takes what is left. Readings after a kind's first are due at steps 16, 64, 256, …: three of each in 200 steps; at
# each power of two while all that the kind has taken is within its equal part of that rest.
FIRST_SHARE = 1 / 4
SMALL_SHARE = 1 / 16  # a kind that has taken less than this of the rest is no dearer than a look, and done at each
LASTING = 32  # steps from the end of a burst to one more look: rules that ask whether what it showed lasts ask for them
# Seconds of looks on credit where the run is put together anew (a stage, an optimiser), all changes together.
CHANGED_SECONDS = 0.2
ODD_SHARE = 1 / 4  # of what the opening has left over: what the odd steps of one octave of steps may take of it
# Looks are planned for this share of the budget. The rest pays for what a clock inside the process can't see: the
# slower call path of a hooked module, and the caches that a look leaves cold for the step after it.
PLANNED_SHARE = 0.3
# Where idle steps alone take much of the budget, looks stop short of it.
MOST = 0.7
# What is dearer than a look (a derivative pass, a second forward) has a share of its own, so as to make no look rarer.
DEAR_SHARE = 0.2
# What reading the loss and the clock may cost, as a share of the budget: where steps are short, not every step is read.
SCALAR_SHARE = 0.2
# Seconds that surefoot takes in a step where nothing is due: one call that only counts; after a step's arithmetic its
# code is in no cache (ten times what a tight loop shows).
IDLE_STEP = 4e-6
# Seconds that a step costs at which scalars are read. A clock around our own code shows half of it: the rest is code
# and data of the run's own that ours have pushed out of the caches (found by alternating blocks of steps with and
# without).
DUE_STEP = 1.5e-4
# Seconds that the loss of an idle step takes to be read and compared, on a device that need not be waited for (found in
# the same way, on a busy machine).
HEARD_STEP = 2e-5
HEARD_SECONDS = 0.1  # of it on credit where steps are too short to pay for it: every loss of 5,000 of them
WOKEN = 5 * DUE_STEP  # seconds that an odd loss costs which was heard: its step, and those that are read after it
WOKEN_SECONDS = 0.03  # of them on credit
FLUSH = 2e-3  # seconds of a flush that do not depend on how much it commits
OPENING_ROWS = 64  # rows of scalars an octave of steps has at least, on credit: a run shows most in its beginning
# Where a thread's own processor time is coarse (15 ms on Windows), it can't tell what a look takes.
_FINE = time.get_clock_info("thread_time").resolution <= 1e-6


class Budget:
    """Decides before a step whether it is looked at, from what looks have cost and what steps have taken.

    Parameters
    ----------
    fraction : share of elapsed step time that watching may cost
    every : look at every ``every``-th step whatever it costs (for tests and the curious)
    without : dear readings that are not to be done at all

    Notes
    -----
    What is charged to the run (``spent`` against ``elapsed``) is time as the run sees it, so the promise holds on any
    machine. The opening credit, and what a look is expected to take, is work: processor time of the watching thread.
    Other processes that want the same cores lengthen a look, and the run's own steps as much; they must not leave the
    run with fewer looks, or what is found would depend on who else is there.
    """

    def __init__(self, fraction: float = 0.02, every: int | None = None, without: Collection[str] = ()) -> None:
        self._without = frozenset(without)
        self.fraction = fraction
        self.every = every
        self.elapsed = 0.0  # seconds of the run's own steps
        self.spent = 0.0  # seconds of ours, opening credit apart
        self.credit_spent = 0.0
        self.credit_looks = 0
        self.waits = not _FINE  # a look may wait for a device: only a clock on the wall knows how long it takes
        self.look_cost = 0.0  # seconds of work that a look is expected to take
        self.look_time = 0.0  # the same as the run will see it
        self.step_time = 0.0  # running mean of the run's own step, seconds
        self.scalar_cost = DUE_STEP
        self.opening = True  # the scalars are read more often than the budget alone would have it
        self._burst = 0
        self._changed = False  # whether the burst is for a change of how the run is put together
        self._change = 0.0  # seconds of looks on credit for such changes
        self._lasting = False  # whether one more look is wanted after the burst, and from which step on
        self._again = 0
        self._dear_spent: dict[str, float] = {}  # by reading: each has an equal part, or cheap ones starve dear ones
        self._dear_cost: dict[str, float] = {}
        self._dear_credit: dict[str, list[float]] = {}  # by reading: what each on credit has taken
        self._look_credit = 0.0  # looks only: a first flush, which loads the rules, must not end them
        self._between = 0.0  # the same of looks between and after those
        self._step = 0  # the last that was decided on
        self._purse: Literal["opening", "between", "odd", "changed"] | None = None  # whose credit the look is on
        self._octave = 0  # of steps
        self._kept = 0.0  # seconds of credit that this octave's odd steps leave for later ones
        self._dear_now: dict[str, float] = {}  # by reading: since the last look was accounted for
        self._idle = 0.0  # the part of `spent` that no decision can save
        self._heard = self._woken = 0.0  # seconds for hearing losses on credit, and for those that were odd

    def now(self) -> float:
        """The clock for work of ours."""
        return time.perf_counter() if self.waits else time.thread_time()

    @property
    def at_credit(self) -> bool:
        """Whether the look under way, or the last one, is on credit."""
        return self._purse is not None

    @property
    def steady(self) -> float:
        """Share of the run's own step time that watching has cost, opening credit apart."""
        return self.spent / self.elapsed if self.elapsed > 0 else 0.0

    def steps_taken(self, count: int, seconds: float) -> None:
        """``count`` steps of the run's own took ``seconds`` together."""
        self.elapsed += seconds
        each = seconds / count
        # a pause between epochs must not look like slow steps for long
        each = min(each, 10 * self.step_time) if self.step_time else each
        self.step_time += (each - self.step_time) * (0.2 if self.step_time else 1.0)

    def affords(self, name: str, steps: float) -> bool:
        """Whether the dear reading ``name``, guessed at ``steps`` of the run's own steps, may be done at this look."""
        if name in self._without:
            return False
        if self.every is not None:
            return True
        cost = self._dear_cost.get(name, steps * self.step_time)
        spent = self._dear_spent.setdefault(name, 0.0)
        if not cost:
            return False  # no step was timed so far
        if self.at_credit:
            return self._credits(self._dear_credit.get(name, []), cost)
        allowance = self.fraction * self.elapsed
        part = DEAR_SHARE * allowance / len(self._dear_spent)
        return spent + cost <= part and self.spent + sum(self._dear_now.values()) + cost <= allowance

    def dear_taken(self, name: str, seconds: float) -> None:
        """A part of the dear reading ``name`` of this look, or all of it, took ``seconds`` of :meth:`now`."""
        self._dear_now[name] = self._dear_now.get(name, 0.0) + seconds

    def _account_for(self, name: str, seconds: float) -> None:
        if self.at_credit:
            self._dear_credit.setdefault(name, []).append(seconds)
        else:
            self._dear_spent[name] = self._dear_spent.get(name, 0.0) + seconds
        before = self._dear_cost.get(name)
        # the first time loads and compiles: believe in less after it
        self._dear_cost[name] = seconds if before is None or seconds > before else before + (seconds - before) * 0.5

    def look_taken(self, seconds: float, work: float | None = None) -> None:
        """A look cost ``seconds``, dear readings included, and ``work`` seconds of :meth:`now` (None: as many)."""
        dear = sum(self._dear_now.values())
        for name, taken in self._dear_now.items():
            self._account_for(name, taken)
        self._dear_now = {}
        if self.at_credit:
            self.credit_spent += seconds
            self.credit_looks += self._purse == "opening"
        else:
            self.spent += seconds
        work = seconds if work is None else work
        stretched = seconds / work if work > 0 else 1.0  # by others that want the same cores
        work = max(0.0, work - dear)
        # the first look also finds the models, once
        if self.credit_looks == 1 and self.at_credit:
            return
        self.look_cost = _believed(self.look_cost, work)
        self.look_time = _believed(self.look_time, work * stretched)
        if self.at_credit:  # what a look loads, or the new models it finds, are a part of starting as the first one's
            if self._purse == "between":
                self._between += min(work, self.look_cost)
            elif self._purse == "changed":
                self._change += min(work, self.look_cost)
            else:
                self._look_credit += min(work, self.look_cost)

    def spares(self, seconds: float) -> bool:
        """Whether so many seconds may be taken, of what the run has earned, for what can as well be done later."""
        return self.every is not None or self.spent + seconds <= MOST * self.fraction * self.elapsed

    def flushed(self, seconds: float, rows: int) -> None:
        """Committing and judging ``rows`` rows of scalars (and what few looks there were) took ``seconds``."""
        if rows:
            each = max(0.0, seconds - FLUSH) / rows + DUE_STEP
            # a first flush loads and prepares much; a slow disk slows one: believe in a higher cost step by step
            self.scalar_cost = min(each, 2 * self.scalar_cost)

    def burst(self, looks: int = 3, lasting: bool = False, changed: bool = False) -> None:
        """Something odd was seen: the next ``looks`` looks may draw on the whole budget at once; where it may be
        ``lasting``, so may one more, 32 steps later. Where it is how the run is put together that has ``changed``,
        they have a credit of their own: what begins wrong is to be seen before it does harm."""
        self._burst = max(self._burst, looks)
        self._changed |= changed
        self._lasting |= lasting

    def next_on_credit(self, step: int) -> int | None:
        """The first step after ``step``, up to the next power of two, that would be looked at on credit."""
        gap = _gap(step)
        candidates = range(step // gap * gap + gap, (1 << step.bit_length()) + 1, gap)
        return next((candidate for candidate in candidates if self._opens(candidate)), None)

    def _opens(self, step: int) -> Literal["opening", "between"] | None:
        """Which credit pays for a look at ``step``: the opening's for 1, 2, 4, …, 128, the other for some between."""
        if self.every is not None or step % _gap(step):
            return None
        if step & (step - 1) == 0 and self.credit_looks < CREDIT_LOOKS:
            affordable = self.look_cost <= max(self._left(), LOOKS_OWN - self._look_credit)
            return "opening" if affordable else None
        return "between" if self._between + self.look_cost <= BETWEEN_SECONDS else None

    def _left(self) -> float:
        """Seconds of credit that are left."""
        now = sum(self._dear_now.values()) if self.at_credit else 0.0
        return CREDIT_SECONDS - self._look_credit - sum(map(sum, self._dear_credit.values())) - now

    def _credits(self, taken: list[float], cost: float) -> bool:
        """Whether a dear reading that has ``taken`` so much so far may be done on credit; see the constants above."""
        owed = self.look_cost * (CREDIT_LOOKS - self.credit_looks)
        left = self._left() - owed
        if cost > left:
            return False
        rest = CREDIT_SECONDS - self._look_credit - owed
        if sum(taken) + cost <= SMALL_SHARE * rest:
            return True
        if taken:
            part = rest / len(self._dear_spent)
            base = 2 if sum(taken) + cost <= part else 4
            return self._step >= 16 * base ** (len(taken) - 1)
        return self._step >= 8 or cost <= FIRST_SHARE * rest

    def allows(self, step: int) -> bool:
        """Whether ``step`` is to be looked at."""
        self._step = step
        self._purse = self._opens(step)
        if self.every is not None:
            return step % self.every == 0
        again = 0 < self._again <= step
        self._again = 0 if again else self._again
        if self.at_credit:
            return True
        self._burst = max(self._burst, again)
        allowance = self.fraction * self.elapsed
        if step.bit_length() != self._octave:
            self._octave, self._kept = step.bit_length(), (1 - ODD_SHARE) * self._left()
        if self._burst > 0:
            # what the opening has left over is for this, in a run that is too short to have earned a look
            enough = self._left() - self._kept >= self.look_cost > 0
            begins = self._changed and self._change + self.look_cost <= CHANGED_SECONDS
            affordable = self.spent + self.look_time <= allowance
            if not affordable:
                self._purse = "odd" if enough else "changed" if begins else None
            if enough or affordable or begins:
                self._burst -= 1
                self._changed &= self._burst > 0 or self._lasting
                if self._lasting and not self._burst:
                    self._lasting, self._again = False, step + LASTING
                return True
        looks = self.spent - sum(self._dear_spent.values())
        return looks + self.look_time <= min(PLANNED_SHARE * allowance + self._idle, MOST * allowance)

    def settled(self, seconds: float, idle_steps: int) -> None:
        """Reading the scalars of a step took ``seconds``, after ``idle_steps`` in which nothing was due."""
        cost = max(seconds, DUE_STEP)
        if self.opening:
            self.credit_spent += cost
        else:
            self.spent += cost
        self._idle += IDLE_STEP * idle_steps
        self.spent += IDLE_STEP * idle_steps
        if not idle_steps or not self.hears():
            return
        if SCALAR_SHARE * self.fraction * self.step_time >= HEARD_STEP:
            self.spent += HEARD_STEP * idle_steps
        else:
            self._heard += HEARD_STEP * idle_steps
            self.credit_spent += HEARD_STEP * idle_steps

    def hears(self) -> bool:
        """Whether losses are read as well at steps where nothing else is due."""
        share = SCALAR_SHARE * self.fraction
        if self._woken > WOKEN_SECONDS + share * self.elapsed:
            return False
        return share * self.step_time >= HEARD_STEP or self._heard < HEARD_SECONDS

    def woken(self) -> None:
        """A loss that was heard is odd."""
        self._woken += WOKEN

    def scalar_stride(self, step: int) -> int:
        """Read the scalars at every how-manieth step from ``step`` on: a power of two, 1 where steps are long."""
        if self.every is not None or self.step_time <= 0:
            return 1
        affordable = SCALAR_SHARE * self.fraction * self.step_time
        stride = 1 << max(0, math.ceil(math.log2(self.scalar_cost / affordable)))
        most = 1 << max(0, (step // OPENING_ROWS).bit_length() - 1)
        self.opening = most < stride
        return min(stride, most)


def _gap(step: int) -> int:
    """How far apart the opening's looks are at ``step``."""
    octave = 1 << (step.bit_length() - 1)
    return octave if step < 8 else octave // 2 if step < 64 else octave // 4


def _believed(before: float, now: float) -> float:
    """What the next look is expected to take: slow to believe in cheap ones; in dear ones step by step, for one may
    have found new models, or loaded what others need not."""
    if now <= before:
        return before + (now - before) * 0.3
    return min(now, 2 * before) if before else now
