"""``gradient-penalty``: the critic of a game is kept flat at its own inputs.

The critic is the model whose inputs are made by another model that is trained, in that one's backward. In the critic's
own backward, or in one for both, where some inputs have no graph, what it was given is run once more with gradients to
the inputs, and the penalty's gradient joins that of the script's loss.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.apply.cure import Desk, ModelCure
from surefoot.losses.gradient_penalty import gradient_penalty
from surefoot.observe.graph import read_graph, roots_of
from surefoot.observe.replay import Forward, ForwardRecorder, tensors_of

_MOST = 16  # forwards between two backwards


class GradientPenalty(ModelCure):
    """Adds the gradient of :func:`surefoot.losses.gradient_penalty`, averaged over the forwards of one backward."""

    id = "gradient-penalty"

    def __init__(self, desk: Desk, gamma: float) -> None:
        super().__init__(desk)
        self.gamma = gamma
        self._recorder = ForwardRecorder(lambda name, function, *args: function(*args), self.id, most=_MOST)
        self._critics: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        self._climbing: set[int] = set()  # ids of parameters whose optimiser maximises

    def met(self, model: nn.Module) -> None:
        """Remember its forwards from now on."""
        self._recorder.put_on(self.trained)

    def at_optimizer(self, optimizer: Optimizer) -> None:
        """Whatever was remembered was not of training."""
        super().at_optimizer(optimizer)
        self._climbing |= {id(p) for g in optimizer.param_groups if g.get("maximize") for p in g["params"]}
        self._recorder.forget()

    def at_backward(self, tensors: Any) -> None:
        """See who is the critic; if it is its turn, add the penalty's gradient."""
        if torch._C._current_graph_task_id() != -1 or not self._recorder.forwards:
            return
        forwards = [f for f in self._recorder.forwards if f.outputs is not None]
        self._recorder.forget()
        nodes = set(read_graph(roots_of(tensors)).nodes)
        forwards = [f for f in forwards if any(t.grad_fn in nodes for t in f.outputs or ())]
        for forward in forwards:
            if any(t.grad_fn is not None and t.is_floating_point() for t in _inputs(forward)):
                self._critics.add(forward.root)
        own = [f for f in forwards if f.root in self._critics]
        # where only what a generator makes is judged, with its graph, it is that one's turn
        if any(not any(t.requires_grad for t in _inputs(f)) for f in own):
            for forward in own:
                self._penalise(forward, self.gamma / len(own))
            self.act()

    def _penalise(self, forward: Forward, gamma: float) -> None:
        refusal = forward.refusal() or (None if forward.untouched else "its inputs were changed in place")
        if refusal is not None:
            raise RuntimeError(refusal)
        given = next((t for t in _inputs(forward) if t.is_floating_point() and t.dim()), None)
        if given is None:
            return
        x = given.detach().clone().requires_grad_()
        args = tuple(x if a is given else a for a in forward.args)
        kwargs = {name: x if a is given else a for name, a in forward.kwargs.items()}
        held = [p for p in forward.root.parameters() if p.requires_grad]
        with torch.enable_grad(), forward.as_it_began():
            output = next(t for t in tensors_of(forward.root(*args, **kwargs)) if t.requires_grad)
            penalty = gradient_penalty(output, x, gamma)
            gradients = torch.autograd.grad(penalty, held, allow_unused=True)
        for parameter, gradient in zip(held, gradients, strict=True):
            if gradient is not None:
                signed = -gradient if id(parameter) in self._climbing else gradient
                parameter.grad = signed if parameter.grad is None else parameter.grad + signed

    def at_close(self) -> None:
        """Leave no hook behind; say so where there was no critic."""
        self._recorder.take_off()
        self._recorder.forget()
        if not self.acted:
            self.note("no model was met whose inputs another model makes, as a critic's; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"added {self.gamma:g}/2 · ‖∂D/∂x‖² to {self.acted:,} losses of the critic"


def _inputs(forward: Forward) -> list[Tensor]:
    return [t for t in (*forward.args, *forward.kwargs.values()) if isinstance(t, Tensor)]
