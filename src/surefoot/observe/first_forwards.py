"""Reads the first forward of each model of a script that a gradient comes back through, until the script is to end.

For a script that is run up to its first optimiser step and no further: hooks for all modules, which a watched run never
has, find each model before its first forward begins.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from surefoot.observe.discover import unwrap
from surefoot.observe.start import StartProbe


class FirstForwards:
    """Reads from its creation on, until :meth:`end`. Models that are compiled run eagerly meanwhile.

    Parameters
    ----------
    guard : ``guard(name, function, *args)`` runs a function of ours inside one of the script's
    """

    def __init__(self, guard: Callable[..., Any]) -> None:
        self._guard = guard
        self._read: dict[nn.Module, tuple[nn.Module, StartProbe]] = {}  # what the script calls → its model, unwrapped
        self._inside: set[nn.Module] = set()  # parts of those
        torch.compiler.set_stance("force_eager")
        warnings.filterwarnings("ignore", "Using `torch.compile.* when there are global hooks")  # ours, and meant so
        self._handle: Any = register_module_forward_pre_hook(self._before)

    def _before(self, module: nn.Module, args: Any) -> None:
        if module not in self._inside and torch.is_grad_enabled():
            self._guard("start", self._begin, module)

    def _begin(self, module: nn.Module) -> None:
        if module in self._read:
            model, probe = self._read[module]
            if _reached(probe):
                return
            probe.__exit__(None, None, None)  # that forward was none to train on
        elif any(p.requires_grad for p in module.parameters()):
            model, _ = unwrap(module)
            self._inside.update(part for part in module.modules() if part is not module)
        else:
            return
        self._read[module] = model, StartProbe(model, self._guard).__enter__()

    def end(self) -> tuple[nn.Module, StartProbe] | None:
        """Stop reading; the largest model that a gradient came back through, and what was read, if there is one."""
        if self._handle is None:
            return None
        self._handle.remove()
        self._handle = None
        torch.compiler.set_stance("default")
        for _, probe in self._read.values():
            probe.__exit__(None, None, None)
        reached = [pair for pair in self._read.values() if _reached(pair[1])]
        self._read.clear()
        return max(reached, key=lambda pair: sum(p.numel() for p in pair[0].parameters()), default=None)


def _reached(probe: StartProbe) -> bool:
    """Whether a gradient has come back to some layer."""
    return any(math.isfinite(layer.backward) for layer in probe.layers)
