"""The two players of a game as a running script shows them: who judges, who makes samples, and what was judged.

The critic is a model whose input takes a gradient on to parameters of another model that is trained: those are the
generator's. What the critic is given otherwise, and no model has just made, are data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.analysis.generated import comparable
from surefoot.observe.graph import read_graph
from surefoot.observe.hook import Hook
from surefoot.observe.replay import tensors_of

_OUTPUTS = 16  # of models that are remembered


class Players:
    """Follows the forwards of models that are trained.

    Attributes
    ----------
    critic : the model that judges; None until it was seen
    generator : ids of the parameters that its input came from
    made, data : what was judged last, as (rows, numbers)
    scores : what the critic said of samples, with their graph
    """

    def __init__(self) -> None:
        self.critic: nn.Module | None = None
        self.generator: frozenset[int] = frozenset()
        self.made: Tensor | None = None
        self.data: Tensor | None = None
        self.scores: Tensor | None = None
        self._outputs: list[Tensor] = []
        self._shape = torch.Size()
        self._handles: list[Any] = []

    def follow(self, model: nn.Module) -> None:
        """See its forwards from now on."""
        self._handles.append(model.register_forward_hook(Hook(self._take), with_kwargs=True))

    def let_go(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._outputs.clear()
        self.scores = None

    def generates(self, optimizer: Optimizer) -> bool:
        """Whether these are steps of the generator."""
        return any(id(p) in self.generator for p in _held(optimizer))

    def judges(self, optimizer: Optimizer) -> bool:
        """Whether these are steps of the critic."""
        own = {id(p) for p in self.critic.parameters()} if self.critic is not None else set()
        return any(id(p) in own for p in _held(optimizer))

    def _take(self, model: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        given = next((t for t in tensors_of((args, kwargs)) if t.is_floating_point() and t.dim()), None)
        outputs = [t for t in tensors_of(output) if t.is_floating_point()]
        if given is None or not outputs or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return
        if given.grad_fn is not None and (self.critic is None or self.critic is model):
            if self.critic is None:
                own = {id(p) for p in model.parameters()}
                leaves = {id(t) for t in read_graph([given]).leaves if isinstance(t, nn.Parameter)}
                if not leaves or leaves & own:
                    return
                self.critic, self.generator = model, frozenset(leaves)
            self.made, self.scores, self._shape = comparable(given.detach()), outputs[0], given.shape[1:]
        elif model is self.critic and given.shape[1:] == self._shape and not self._just_made(given):
            self.data = comparable(given.detach())
        self._outputs = [*self._outputs, *(t.detach() for t in outputs)][-_OUTPUTS:]

    def _just_made(self, given: Tensor) -> bool:
        return any(given.data_ptr() == t.data_ptr() for t in self._outputs)


def _held(optimizer: Optimizer) -> Iterable[Tensor]:
    return (p for group in optimizer.param_groups for p in group["params"])
