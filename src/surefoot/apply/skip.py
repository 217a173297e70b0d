"""``skip-connection``: what enters a block is added to what comes out of it, where both have one shape.

Signal and gradient then have a way past every block, whatever it does to them (He, Zhang, Ren, Sun 2016, Deep Residual
Learning for Image Recognition, arXiv 1512.03385).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from surefoot.apply.blocks import blocks_of, changed
from surefoot.apply.cure import Desk, ModelCure
from surefoot.apply.fresh import sign_of_training
from surefoot.observe.hook import Hook


class SkipConnection(ModelCure):
    """Puts a forward hook on each block. A model that has been trained is left alone: what it has learned holds for the
    way it is."""

    id = "skip-connection"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._hooks: list[Any] = []
        self._bridged: set[int] = set()

    def met(self, model: nn.Module) -> None:
        """Put the hooks on."""
        trained = "the run is continued" if self.desk.offset else sign_of_training(model)
        if trained is not None:
            self.note(f"{type(model).__name__} stays as it is: {trained}")
            return
        self._hooks += [block.register_forward_hook(Hook(self._past)) for block in blocks_of(model)]

    def _past(self, block: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        def bridged(signal: Tensor) -> Tensor | None:
            if not (args and isinstance(args[0], Tensor) and args[0].shape == signal.shape):
                return None
            if id(block) not in self._bridged:
                self._bridged.add(id(block))
                self.act()
            return signal + args[0]

        return changed(output, bridged)

    def at_close(self) -> None:
        """Take the hooks off; say so where there was nothing to change."""
        for handle in self._hooks:
            handle.remove()
        if not self.acted and not self.noted:
            self.note("no block was called whose output has the shape of its input; nothing was changed")

    def summary(self) -> str:
        """How many."""
        return f"put a skip connection around {len(self._bridged):,} blocks"
