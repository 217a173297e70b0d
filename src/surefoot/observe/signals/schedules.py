"""Learning-rate schedulers that are alive: what they are, whom they serve, how often they were stepped."""

from __future__ import annotations

import math
import weakref
from typing import Any

from torch.optim import Optimizer

from surefoot.observe.clock import OptimizerState
from surefoot.observe.instrument import Instrument, Tools

# What each scheduler calls the number of its steps after which its schedule is over.
_HORIZONS = {
    "CosineAnnealingLR": "T_max",
    "LinearLR": "total_iters",
    "PolynomialLR": "total_iters",
    "ConstantLR": "total_iters",
    "OneCycleLR": "total_steps",
}
_RISES = 8  # of the rate that are told ahead
_LEFT = 0.01  # of the rate: a schedule without an end has done its work


class Schedules(Instrument):
    """Tells of schedulers (event ``schedulers``) when one turns up or proves to serve nobody, and once more at the end;
    reads ``scheduler_steps`` of each at looks."""

    name = "schedulers"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._names: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        self._seen: dict[str, float] = {}  # steps of each at the last look
        self._left: set[str] = set()  # those whose optimiser was not among those that step at the last look
        self._orphans: set[str] = set()  # those that move while their optimiser does not
        self._bests: dict[str, tuple[float, int]] = {}  # of plateau schedulers: the best number, at which call at last
        self._unbettered: set[str] = set()  # those that have had no better number than the first

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Read all of them, once a step."""
        if state is self.tools.scene.clock.states[0]:
            self._read(self.tools.scene.clock.steps, final=False)

    def at_close(self) -> None:
        """The last word of those that are still alive."""
        self._read(self.tools.scene.clock.steps, final=True)

    def _read(self, step: int, final: bool) -> None:
        alive = [s for ref in self.tools.scene.schedulers if (s := ref()) is not None]
        inner = {id(s) for outer in alive for s in getattr(outer, "_schedulers", ())}
        facts, news = [], final
        for scheduler in alive:
            name = self._names.get(scheduler)
            if name is None:
                news = True
                kind, taken = type(scheduler).__name__, set(self._names.values())
                name = next(n for i in range(1, 1000) if (n := kind if i == 1 else f"{kind}{i}") not in taken)
                self._names[scheduler] = name
            steps = float(scheduler.last_epoch)
            serves, shares = self._whom(scheduler.optimizer)
            if not shares:
                self._left.discard(name)
            elif name in self._left and 0 <= self._seen.get(name, steps) < steps and name not in self._orphans:
                self._orphans.add(name)
                news = True
            else:
                self._left.add(name)  # its optimiser may have stepped until now
            self._seen[name] = steps
            unbettered = self._keeps_its_first(name, scheduler)
            if unbettered != (name in self._unbettered):
                self._unbettered ^= {name}
                news = True
            horizon = getattr(scheduler, _HORIZONS.get(type(scheduler).__name__, ""), None)
            facts.append(
                {
                    "name": name,
                    "type": type(scheduler).__name__,
                    "horizon": horizon if isinstance(horizon, int | float) else None,
                    "fades": _fades(scheduler),
                    "rises": _rises(scheduler),
                    "optimizer": None if serves is None else serves.name,
                    "optimizer_steps": 0 if serves is None else serves.count,
                    "steps": steps,
                    "inner": id(scheduler) in inner,
                    "orphan": name in self._orphans,
                    "mode": getattr(scheduler, "mode", None) if name in self._bests else None,
                    "best": self._bests[name][0] if name in self._bests else None,
                    "unbettered": unbettered,
                }
            )
            self.tools.rows.put(step, "schedule", name, scheduler_steps=steps)
        if news and facts:
            self.tools.tell("schedulers", final=final, schedulers=facts)

    def _keeps_its_first(self, name: str, scheduler: Any) -> bool:
        """Whether a plateau scheduler has been called more often than its patience, and the first number that it was
        given is the best still. Its own count of calls since the best begins anew where it lowers the rate, so that
        only a look before tells: where there was none, the best is taken to be of later."""
        if type(scheduler).__name__ != "ReduceLROnPlateau" or not scheduler.last_epoch >= 1:
            return False
        best = float(scheduler.best)
        if not math.isfinite(best):
            return False
        if self._bests.get(name, (math.nan, 0))[0] != best:
            self._bests[name] = best, int(scheduler.last_epoch) - int(scheduler.num_bad_epochs)
        return self._bests[name][1] <= 1 and scheduler.last_epoch - 1 > scheduler.patience

    def _whom(self, optimizer: Optimizer) -> tuple[OptimizerState | None, bool]:
        """The optimiser that steps with these parameter groups (itself, or a wrapper around it); and whether there is
        none, but one that steps the same parameters."""
        groups = {id(g) for g in optimizer.param_groups}
        parameters = {id(p) for g in optimizer.param_groups for p in g["params"]}
        others = False
        for state in self.tools.scene.clock.states:
            other = state.ref()
            if other is None or not state.count:
                continue
            if any(id(g) in groups for g in other.param_groups):
                return state, False
            others |= any(id(p) in parameters for g in other.param_groups for p in g["params"])
        return None, others


def _rises(scheduler: Any) -> list[tuple[int, float]]:
    """At how many steps of a scheduler by factors its rate is multiplied by more than one, and by how much; the first
    of them, where it goes on for ever."""
    gamma = getattr(scheduler, "gamma", None)
    if not isinstance(gamma, int | float) or not gamma > 1:
        return []
    match type(scheduler).__name__:
        case "StepLR":
            return [(int(scheduler.step_size) * (1 + k), float(gamma)) for k in range(_RISES)]
        case "MultiStepLR":
            return [(int(at), float(gamma**count)) for at, count in sorted(scheduler.milestones.items())[:_RISES]]
    return []


def _fades(scheduler: Any) -> int | None:
    """Steps of a scheduler by divisions after which a hundredth of its rate is left; None for others."""
    gamma = getattr(scheduler, "gamma", None)
    if not isinstance(gamma, int | float) or not 0 < gamma < 1:
        return None
    divisions = max(1, round(math.log(_LEFT) / math.log(gamma)))
    match type(scheduler).__name__:
        case "StepLR":
            return int(scheduler.step_size) * divisions
        case "ExponentialLR":
            return divisions
        case "MultiStepLR":
            milestones = sorted(scheduler.milestones.elements())
            return int(milestones[min(divisions, len(milestones)) - 1]) if milestones else None
    return None
