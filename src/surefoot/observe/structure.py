"""How the run is put together: which parameters its models have, which of them learn, who holds them. A change of that
begins a phase of the run in which what was seen before says little.

Read at steps whose scalars are read, a thirty-second of the run apart: a flag a parameter, no tensor. Emits no finding;
it calls for looks.
"""

from __future__ import annotations

from torch import nn

from surefoot.observe.scene import Scene

OPENING = 8  # steps in which optimisers may begin one after the other, and are looked at anyhow
LOOKS = 4
"""Looks that a change calls for, and steps of which the wiring is read where none is affordable: the first to compare
with, and three that a rule asks for."""
_APART = 5  # a power of two: the share of the run, as far as it has come, after which it is read again
_MOST = 32  # structures that are told apart: a run that makes a new one at each step has no phases


class Structure:
    """Remembers the structures that were met, so that players who take turns are one thing and a new phase another."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._met: set[int] = set()
        self._due = 0  # the step at which it is read again
        self._joined = False  # whether an optimiser has begun to step since it was read

    def changed(self, step: int) -> bool:
        """Whether the run is put together at ``step`` as it never was before; never the first time."""
        if (step < self._due and not self._joined) or not self._scene.discovered or len(self._met) > _MOST:
            return False
        self._due = step + (step >> _APART)
        now, joined, self._joined = self._read(), self._joined, False
        if now in self._met and not joined:
            return False
        self._met.add(now)
        return joined or len(self._met) > 1

    def joins(self) -> None:
        """An optimiser steps for the first time: whatever else is as it was, the next step is another one."""
        self._joined = True

    def _read(self) -> int:
        facts: list[int] = []
        for root in self._scene.models.roots:
            module = root.module()
            if module is not None:
                facts += (id(module), module.training, _parameters(module))
        for optimizer in self._scene.clock.optimizers:
            facts += (id(optimizer), *(len(group["params"]) for group in optimizer.param_groups))
        return hash(tuple(facts))


def _parameters(root: nn.Module) -> int:
    """One number for which parameters there are and which take a gradient. ``Module.parameters`` takes ten times as
    long, for it asks each whether it was met before."""
    found, waiting, met = 0, [root], {id(root)}
    while waiting:
        module = waiting.pop().__dict__
        for parameter in module.get("_parameters", {}).values():
            if parameter is not None:
                found += id(parameter) if parameter.requires_grad else -id(parameter)
        for child in module.get("_modules", {}).values():
            if child is not None and id(child) not in met:
                met.add(id(child))
                waiting.append(child)
    return found
