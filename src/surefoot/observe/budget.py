"""How often a look is affordable: an opening credit, then a share of the time the run's own steps take."""

from __future__ import annotations

import math

CREDIT_LOOKS = 8
CREDIT_SECONDS = 0.5
# Looks are planned for this share of the budget. The rest pays for what a clock inside the process can't see: the slower
# call path of a hooked module, caches that a look leaves cold, the interpreter's work around our own entry points.
PLANNED_SHARE = 0.5
# What reading the loss and the clock may cost, as a share of the budget: where steps are short, not every step is read.
SCALAR_SHARE = 0.25


class Budget:
    """Decides before each step whether it is looked at, from what looks have cost and what steps have taken.

    Parameters
    ----------
    fraction : share of elapsed step time that watching may cost
    every : look at every ``every``-th step whatever it costs (for tests and the curious)
    """

    def __init__(self, fraction: float = 0.02, every: int | None = None) -> None:
        self.fraction = fraction
        self.every = every
        self.elapsed = 0.0  # seconds of the run's own steps
        self.spent = 0.0  # seconds of ours, opening credit apart
        self.credit_spent = 0.0
        self.credit_looks = 0
        self.look_cost = 0.0  # what a look is expected to cost, seconds
        self.step_time = 0.0  # running mean of the run's own step, seconds
        self.scalar_cost = 0.0  # running mean of reading the scalars of one step
        self._burst = 0

    @property
    def steady(self) -> float:
        """Share of the run's own step time that watching has cost, opening credit apart."""
        return self.spent / self.elapsed if self.elapsed > 0 else 0.0

    def step_taken(self, seconds: float) -> None:
        """A step of the run's own took ``seconds``."""
        self.elapsed += seconds
        # a short memory follows changes of batch size; a pause between epochs must not look like a slow step for long
        self.step_time += (min(seconds, 10 * self.step_time or seconds) - self.step_time) * 0.1

    def look_taken(self, seconds: float, on_credit: bool) -> None:
        """A look cost ``seconds``."""
        if on_credit:
            self.credit_spent += seconds
            self.credit_looks += 1
        else:
            self.spent += seconds
        # pessimistic: quick to believe in dear looks, slow to believe in cheap ones
        self.look_cost = seconds if seconds > self.look_cost else self.look_cost + (seconds - self.look_cost) * 0.2

    def burst(self, looks: int = 3) -> None:
        """Something odd was seen: the next ``looks`` steps may be looked at ahead of time, on later steps' account."""
        self._burst = max(self._burst, looks)

    def on_credit(self, step: int) -> bool:
        """Whether a look at ``step`` belongs to the opening: steps 1, 2, 4, 8, … while the credit lasts."""
        return (
            self.every is None
            and self.credit_looks < CREDIT_LOOKS
            and self.credit_spent + self.look_cost <= CREDIT_SECONDS
            and step & (step - 1) == 0
        )

    def allows(self, step: int) -> bool:
        """Whether ``step`` is to be looked at."""
        if self.every is not None:
            return step % self.every == 0 or step == 1
        if self.on_credit(step):
            return True
        allowance = self.fraction * self.elapsed
        if self._burst > 0:
            # a burst draws on the whole budget, and may run ahead of it by one look
            self._burst -= 1
            return self.spent <= allowance
        return self.spent + self.look_cost <= PLANNED_SHARE * allowance

    def scalar_stride(self) -> int:
        """Read the scalars at every how-manieth step; a power of two, 1 where steps are long enough."""
        if self.every is not None or self.step_time <= 0 or self.scalar_cost <= 0:
            return 1
        affordable = SCALAR_SHARE * self.fraction * self.step_time
        return 1 << max(0, math.ceil(math.log2(self.scalar_cost / affordable)))
