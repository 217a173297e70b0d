"""Steps on gradients that the script asks ``torch.autograd.grad`` or ``torch.func.grad`` for, and no ``backward``."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from torch.optim import Optimizer

from surefoot.observe.asked import Asked, asked_for, gradients_in, outside_of_transforms, trains
from surefoot.observe.pace import Pace
from surefoot.observe.scene import Scene
from surefoot.observe.step_under_way import StepUnderWay
from surefoot.observe.untold import UntoldSteps


class AskedSteps:
    """Tells which of the gradients that are asked for begins a step: one of what an optimiser holds, which is handed to
    it, or one that an update by hand takes.

    Parameters
    ----------
    scene : who holds what
    step, pace : the step under way, and whether it is looked at
    untold : finds whether an update by hand has followed

    Attributes
    ----------
    by_backward : the script has called ``backward``: what it asks for besides serves something else
    """

    def __init__(self, scene: Scene, step: StepUnderWay, pace: Pace, untold: UntoldSteps) -> None:
        self.by_backward = False
        self._scene, self._step, self._pace, self._untold = scene, step, pace, untold
        self._hands_over = False  # it has asked for gradients of what an optimiser holds
        self._under_way: tuple[Asked, Optimizer | None] | None = None  # the gradient being taken, and who holds it

    def met_backward(self) -> None:
        """The script calls ``backward``."""
        self.by_backward = True
        self._step.scalars.forget()  # what was read before was read of gradients that served something else

    def begin(self, outputs: Any, inputs: Any, create_graph: bool) -> bool:
        """A gradient is about to be asked for; whether it is that of a loss that the script trains on."""
        asked = asked_for(outputs, inputs, create_graph)
        if asked is None:
            return False
        scene = self._scene
        with outside_of_transforms() if not asked.in_graph else nullcontext():
            if not scene.discovered:
                scene.update(asked.tensors)
            owner = scene.holder_of(asked.tensors[0])
            if owner is not None:
                self._hands_over = True
            else:
                by_hand = self._untold.hand_written
                if self._hands_over or (not by_hand and (scene.clock.steps or not trains(asked))):
                    return False
                self._untold.end(lambda: asked.tensors)
            # of the first gradient that an optimiser may be handed the loss alone: a ``backward`` may follow, which it
            # is only a part of
            in_graph = asked.in_graph and (owner is None or scene.clock.steps > 0)
            self._step.begin_backward(asked.loss, owner, in_graph)
        self._under_way = asked, owner
        return True

    def end(self, found: Any) -> None:
        """The script has what it asked for."""
        under_way = self._under_way
        self.forget()
        if under_way is None:
            return
        asked, owner = under_way
        gradients = gradients_in(found)
        with outside_of_transforms() if not asked.in_graph else nullcontext():
            if owner is None:
                self._untold.expect_of(asked.tensors, gradients)
            self._step.end_backward()

    def forget(self) -> None:
        """Hold nothing of the script's."""
        self._under_way = None
