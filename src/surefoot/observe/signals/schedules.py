"""Learning-rate schedulers that are alive: what they are, whom they serve, how often they were stepped."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
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


@dataclass(slots=True)
class _Rest:
    """Of a scheduler, how things stood when its optimiser was last seen to have stepped."""

    count: int  # of the optimiser's steps
    step: int  # of the run
    known: frozenset[str]  # the optimisers that were known at the look before
    steps: float = math.nan  # of its own at the look after, for it may be stepped once more after the optimiser


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
        self._read_at: int | None = None
        self._known: frozenset[str] = frozenset()  # names of the optimisers at the last look
        self._rests: dict[str, _Rest] = {}
        self._left_since: dict[str, int] = {}  # those that move on after another optimiser took over, since which step
        self._bests: dict[str, tuple[float, int]] = {}  # of plateau schedulers: the best number, at which call at last
        self._unbettered: set[str] = set()  # those that have had no better number than the first

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Read all of them, once a step."""
        step = self.tools.scene.clock.steps
        if step != self._read_at:  # whose step it is doesn't matter: the first of them may step no more
            self._read_at = step
            self._read(step, final=False)

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
            since = self._taken_over(name, scheduler, serves, step)
            if since != self._left_since.get(name):
                self._left_since.pop(name, None)
                if since is not None:
                    self._left_since[name] = since
                news = True
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
                    "left_since": since,
                    "mode": getattr(scheduler, "mode", None) if name in self._bests else None,
                    "best": self._bests[name][0] if name in self._bests else None,
                    "unbettered": unbettered,
                }
            )
            self.tools.rows.put(step, "schedule", name, scheduler_steps=steps)
        self._known = frozenset(state.name for state in self.tools.scene.clock.states)
        if news and facts:
            self.tools.tell("schedulers", final=final, schedulers=facts)

    def _taken_over(self, name: str, scheduler: Any, serves: OptimizerState | None, step: int) -> int | None:
        """Since which step a scheduler moves on for nothing: its optimiser has not stepped since then, and one that was
        made later leads, which has parameters of it and no scheduler of its own. Optimisers that take turns are known
        from the start, and what takes over for a moment does not lead."""
        if serves is None:
            return None
        steps, rest = float(scheduler.last_epoch), self._rests.get(name)
        if rest is None or rest.count != serves.count:
            self._rests[name] = _Rest(serves.count, step, self._known)
            return None
        if rest.steps != rest.steps:
            rest.steps = steps
        if serves.count >= step or not steps > rest.steps:
            return self._left_since.get(name)
        mine = {id(p) for group in scheduler.optimizer.param_groups for p in group["params"]}
        for state in self.tools.scene.clock.states:
            other = state.ref()
            if other is None or state.count != step or state.name in rest.known:
                continue
            shares = any(id(p) in mine for group in other.param_groups for p in group["params"])
            if shares and (name in self._left_since or not self._has_its_own(state)):
                return rest.step
        return None

    def _has_its_own(self, state: OptimizerState) -> bool:
        """Whether a scheduler serves this optimiser, which may have been made with it a moment ago."""
        for look in (False, True):
            if look:
                self.tools.scene.find_schedulers()
            alive = [s for ref in self.tools.scene.schedulers if (s := ref()) is not None]
            if any(self._whom(s.optimizer)[0] is state for s in alive):
                return True
        return False

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
