"""Steps that no hook tells of, found from one backward to the next: compiled ``step()``, updates by hand."""

from __future__ import annotations

from torch.optim import Optimizer

from surefoot.observe.compiled import ByHand, Unseen
from surefoot.observe.home import Home
from surefoot.observe.scene import Scene


class UntoldSteps:
    """Looks, while no step was ever told of, whether weights change between two backwards.

    Parameters
    ----------
    scene : whose optimisers, or weights, may change untold
    home : in which thread that counts
    """

    def __init__(self, scene: Scene, home: Home) -> None:
        self._scene, self._home = scene, home
        self._unseen: Unseen | None = None
        self._by_hand: ByHand | None = None  # kept alive while the run lasts

    @property
    def sought(self) -> bool:
        """Whether a backward has gone before after which a step may come untold."""
        return self._unseen is not None

    def expect(self) -> Optimizer | None:
        """A backward is over; gives who is going to step, where steps are known to be untold."""
        known = self._unseen is not None and self._unseen.confirmed
        self._unseen = Unseen(self._scene.clock.optimizers, known)
        if self._unseen.optimizer is None:
            self._unseen = Unseen(self._without_optimizer(), known)
        return self._unseen.optimizer if known else None

    def ended(self) -> Optimizer | None:
        """Another backward begins, or the run is over: if weights have changed since the last one, who has stepped."""
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

    def forget(self) -> None:
        """The run is over."""
        self._unseen = self._by_hand = None

    def _without_optimizer(self) -> list[Optimizer]:
        """Who steps where no optimiser holds what has a gradient: whatever changes the weights by hand."""
        owned = [p for o in self._scene.models.owned.values() if (p := o.ref()) is not None and p.grad is not None]
        if not owned or not self._scene.any_optimizer:
            return []
        self._by_hand = ByHand(owned)
        self._scene.state_of(self._by_hand)
        return [self._by_hand]
