"""``layer-norm``: what each block of a network makes is brought to mean 0 and variance 1 over its features.

Whatever a block multiplies its signal by, the next one then gets a signal of size 1 (Ba, Kiros, Hinton 2016, arXiv
1607.06450); so it needs no weights of the right size, and holds where no size would do. The last block makes the
outputs and stays as it is.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surefoot.apply.blocks import CONVOLUTION, blocks_of, changed
from surefoot.apply.cure import Desk, ModelCure
from surefoot.apply.fresh import sign_of_training
from surefoot.observe.graph import read_graph
from surefoot.observe.hook import Hook
from surefoot.observe.nodes import ACCUMULATE
from surefoot.observe.replay import Forward


class LayerNorm(ModelCure):
    """Puts a forward hook on each block, before the first forward. It adds no parameters. A model that has
    been trained is left alone: what it has learned holds for the way it is."""

    id = "layer-norm"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._hooks: list[Any] = []
        self._blocks = 0

    def met(self, model: nn.Module) -> None:
        """Wait for its first forward."""
        trained = "the run is continued" if self.desk.offset else sign_of_training(model)
        if trained is not None:
            self.note(f"{type(model).__name__} stays as it is: {trained}")
            return

        def put(_: nn.Module, args: Any, kwargs: Any) -> None:
            door.remove()
            try:
                self._put(model, args, kwargs)
            except Exception as error:
                self.note(f"{type(model).__name__} stays as it is: {' '.join(str(error).split())}")

        door = model.register_forward_pre_hook(Hook(put), with_kwargs=True, prepend=True)
        self._hooks.append(door)

    def _put(self, model: nn.Module, args: Any, kwargs: Any) -> None:
        """See by one run of the model, which leaves nothing behind, which block comes last."""
        blocks = blocks_of(model)
        owners = {id(p): block for block in blocks for p in block.parameters()}
        with torch.enable_grad():
            view = read_graph([t for t in Forward(model, args, kwargs).again() if t.grad_fn is not None])
        used = {
            node._sequence_nr(): owners[id(leaf.variable)]
            for node in view.nodes
            for leaf, _ in node.next_functions
            if leaf is not None and leaf.name() == ACCUMULATE and id(leaf.variable) in owners
        }
        for block in blocks:
            if used and block is not used[max(used)]:
                self._hooks.append(block.register_forward_hook(_normed))
                self._blocks += 1
        if self._blocks:
            self.act()

    def at_close(self) -> None:
        """Take the hooks off; say so where there was nothing to change."""
        for handle in self._hooks:
            handle.remove()
        if not self.acted and not self.noted:
            self.note("no model of two blocks or more was called; nothing was changed")

    def summary(self) -> str:
        """How many."""
        return f"normalised what {self._blocks:,} blocks make over its features"


def _normed(module: nn.Module, args: Any, output: Any) -> Any:
    """A forward hook."""

    def normed(signal: Tensor) -> Tensor | None:
        if not signal.is_floating_point() or signal.dim() < 2:
            return None
        if any(isinstance(m, CONVOLUTION) for m in module.modules()):
            return F.group_norm(signal, 1) if signal[0].numel() > 1 else None
        return F.layer_norm(signal, signal.shape[-1:]) if signal.shape[-1] > 1 else None

    return changed(output, normed)
