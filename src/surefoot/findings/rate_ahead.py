"""A rise of the learning rate that a schedule has in store: what it says of itself, before it comes to it."""

from __future__ import annotations

from dataclasses import dataclass

from surefoot.findings.history import History


@dataclass(frozen=True, slots=True)
class RateRise:
    """The scheduler's name, the number of its steps at which the rate is multiplied, by how much, and how many of its
    steps that is from now."""

    scheduler: str
    at: int
    factor: float
    ahead: int


def rise_ahead(history: History, optimizer: str) -> RateRise | None:
    """The next rise that a scheduler of this optimiser has in store; None if there is none, or it is not known."""
    for event in history.events("schedulers")[-1:]:
        for fact in event.data.get("schedulers", ()):
            if fact.get("optimizer") != optimizer:
                continue
            name = str(fact.get("name"))
            taken = history.value("scheduler_steps", name)
            for at, factor in fact.get("rises") or ():
                if at > taken:
                    return RateRise(name, int(at), float(factor), int(at - taken))
    return None
