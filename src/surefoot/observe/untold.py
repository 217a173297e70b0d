"""Steps that no hook tells of, found from one gradient to the next: compiled ``step()``, updates by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from surefoot.observe.by_hand import ByHand, HandWritten
from surefoot.observe.compiled import Unseen
from surefoot.observe.discover import census, optimizer_name
from surefoot.observe.graph import read_graph, roots_of
from surefoot.observe.home import Home
from surefoot.observe.pace import Pace
from surefoot.observe.scene import Scene
from surefoot.observe.step_under_way import StepUnderWay

_MANY = 64  # backwards without a step: so many batches are gathered for none
_TRIES = 16  # backwards before the first step whose graph is read for tensors that are trained and no parameters


class UntoldSteps:
    """Looks, while no step was ever told of, whether weights change from one gradient to the next.

    Parameters
    ----------
    scene : whose optimisers, or weights, may change untold
    home : in which thread that counts
    step, pace : the step under way, and whether it is looked at
    """

    def __init__(self, scene: Scene, home: Home, step: StepUnderWay, pace: Pace) -> None:
        self._scene, self._home, self._step, self._pace = scene, home, step, pace
        self._unseen: Unseen | None = None
        self._by_hand: ByHand | None = None  # kept alive while the run lasts
        self._hand = HandWritten()
        self._leaves: list[Tensor] = []  # of the backward under way: plain tensors that may be trained
        self._tries = 0
        self._backwards = 0  # while no step was ever taken
        self._waiting: list[str] = []  # optimisers that had a gradient by then: with a function they go before the end

    @property
    def sought(self) -> bool:
        """Whether a gradient has gone before after which a step may come untold."""
        return self._unseen is not None or self._hand.sought

    @property
    def hand_written(self) -> bool:
        """Whether tensors are known to be trained that no optimiser holds, nor a module as its parameters."""
        return self._hand.optimizer is not None

    def begin(self, tensors: Any) -> None:
        """A backward begins, and no optimiser has ever told of a step: see what it leads to if no parameters do."""
        hand = self._hand
        self._backwards += 1
        if self.hand_written:
            self._leaves = hand.held() or hand.now or hand.trained(plain_leaves(tensors))
        elif self._tries < _TRIES:
            self._tries += 1
            leaves = plain_leaves(tensors)
            self._leaves = leaves if not any(map(self._scene.holder_of, leaves)) else []

    def expect(self) -> None:
        """A backward is over, and a step may follow."""
        if self._scene.clock.inside_step:
            return
        if self._backwards == _MANY and not self.hand_written and not self._scene.clock.steps:
            self._waiting = _with_gradient()
        leaves, self._leaves = self._leaves, []
        if leaves:
            self.expect_of(leaves, [leaf.grad for leaf in leaves])
            return
        known = self._unseen is not None and self._unseen.confirmed
        self._unseen = Unseen(self._scene.clock.optimizers, known)
        if self._unseen.optimizer is None:
            self._unseen = Unseen(self._without_optimizer(), known)
        if known:
            self._look(self._unseen.optimizer)

    def expect_of(self, tensors: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
        """The same where the gradients of ``tensors`` were given to the script."""
        self._hand.expect(tensors, gradients, self._pace.looking)
        self._look(self._hand.optimizer)

    def end(self, asked: Callable[[], list[Tensor]] = list) -> None:
        """Another gradient is asked for, or the run is over: if weights have changed since the last one, that was a
        step. ``asked`` gives what the gradient is taken of, as far as no optimiser holds it."""
        optimizer = self._stepped(asked)
        if optimizer is not None:
            self._pace.nested = True  # never idle: every backward has to be seen
            self._step.end(optimizer)
            if self._pace.looking:
                self._meet()

    def unstepped(self) -> dict[str, Any] | None:
        """The run is over: how many gradients there were, and whose, if no step has ever followed one."""
        if self._scene.clock.steps or self.hand_written or self._backwards < _MANY:
            return None
        waiting = _with_gradient() or self._waiting
        return {"backwards": self._backwards, "optimizers": waiting} if waiting else None

    def forget(self) -> None:
        """The run is over."""
        self._unseen = self._by_hand = None
        self._hand = HandWritten()

    def _look(self, optimizer: Optimizer | None) -> None:
        """It is known who is going to step."""
        if optimizer is not None and self._pace.looking:
            self._step.look(optimizer)

    def _stepped(self, asked: Callable[[], list[Tensor]]) -> Optimizer | None:
        if self._hand.sought:
            return self._stepped_by_hand(asked)
        unseen = self._unseen
        if unseen is None:
            return None
        if self._scene.clock.steps and not unseen.confirmed:
            self._unseen = None  # steps are told of after all
            return None
        optimizer = unseen.optimizer
        if optimizer is None or not unseen.stepped() or not self._home.here():
            return None
        unseen.confirmed = True
        return optimizer

    def _meet(self) -> None:
        """The step that begins is looked at: get to know what it trains, which may be other tensors than before."""
        hand = self._hand
        if hand.now:
            hand.drop()
            hand.follow()
            self._scene.stand_for(hand.now, hand.leaves)

    def _stepped_by_hand(self, asked: Callable[[], list[Tensor]]) -> Optimizer | None:
        hand = self._hand
        first = hand.optimizer is None
        if first and self._scene.clock.steps:
            hand.forget()  # steps are told of after all
            return None
        if not self._home.here() or not hand.ended(asked) or hand.optimizer is None:
            return None
        if first:
            self._scene.stand_for(hand.now, hand.leaves)
            self._scene.state_of(hand.optimizer)
        elif self._pace.looking and hand.now:
            hand.follow()
        return hand.optimizer

    def _without_optimizer(self) -> list[Optimizer]:
        """Who steps where no optimiser holds what has a gradient: whatever changes the weights by hand."""
        owned = [p for o in self._scene.models.owned.values() if (p := o.ref()) is not None and p.grad is not None]
        if not owned or not self._scene.any_optimizer:
            return []
        self._by_hand = ByHand(owned)
        self._scene.state_of(self._by_hand)
        return [self._by_hand]


def _with_gradient() -> list[str]:
    return [optimizer_name(o, ()) for o in census().optimizers if _has_gradient(o)]


def _has_gradient(optimizer: Optimizer) -> bool:
    held = (p for group in optimizer.param_groups for p in group["params"])
    return not isinstance(optimizer, ByHand) and any(p.grad is not None for p in held)


def plain_leaves(tensors: Any) -> list[Tensor]:
    """The leaves that a gradient is taken of, if none of them is a parameter."""
    leaves = read_graph(roots_of(tensors)).leaves
    return [] if any(isinstance(leaf, Parameter) for leaf in leaves) else leaves
