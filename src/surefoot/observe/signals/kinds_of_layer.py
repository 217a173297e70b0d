"""What instruments share that read layers of one kind of ours: finding them, hooks on them, their rows."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.observe.clock import OptimizerState
from surefoot.observe.hook import Hook
from surefoot.observe.instrument import Instrument, Tools
from surefoot.observe.look import trains


class KindOfLayer(Instrument):
    """Writes ``signals`` of the layers whose numbers a subclass puts into ``numbers``, by their place."""

    home: ClassVar[str]  # the module that defines such layers: where it was never imported there are none
    signals: ClassVar[tuple[str, ...]]

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self.numbers: dict[int, tuple[Tensor, ...]] = {}

    def kinds(self) -> tuple[type, ...]:
        """The types of the layers; asked only where ``home`` was imported."""
        raise NotImplementedError

    def layers(self) -> Iterator[tuple[int, Any]]:
        """Place and module of each such layer of the run."""
        if self.home not in sys.modules:
            return
        kinds = self.kinds()
        for place, layer in enumerate(self.tools.scene.models.layers):
            module = None if layer.module is None else layer.module()
            if isinstance(module, kinds):
                yield place, module

    def at_step_end(self, optimizer: Optimizer, state: OptimizerState) -> None:
        """Write what was read."""
        if not self.numbers:
            return
        read, self.numbers = self.numbers, {}
        step = self.tools.scene.clock.steps
        values = np.full((len(self.signals), len(self.tools.scene.models.layers)), np.nan)

        def write(found: list[np.ndarray]) -> None:
            values[:, list(read)] = np.array(found, dtype=np.float64).reshape(len(read), -1).T
            self.tools.rows.put_layers(step, self.name, **dict(zip(self.signals, values, strict=True)))

        self.tools.ask(step, [number for numbers in read.values() for number in numbers], write)


class HookedKind(KindOfLayer):
    """The same, read in the forward: :meth:`read` gets each layer's first input and its output."""

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._handles: list[Any] = []
        self._thread = threading.get_ident()

    def read(self, place: int, module: Any, before: Tensor, after: Any) -> None:
        """Put a layer's numbers into ``numbers``."""
        raise NotImplementedError

    def prepare(self, roots: Sequence[nn.Module]) -> None:
        """Put hooks on such layers, where the script has any."""
        self.withdraw()
        self.numbers = {}
        found = list(self.layers())
        inside = {id(module) for root in roots for module in root.modules()} if found else set()
        self._handles = [m.register_forward_hook(Hook(self._hook(place))) for place, m in found if id(m) in inside]

    def _hook(self, place: int) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if place not in self.numbers and args and trains(self._thread):
                self.tools.guard(self.name, self.read, place, module, args[0], output)

        return hook

    def withdraw(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
