"""A loss is far above the run's past, or no number: what made it is read while graph and weights are as they were."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from torch import Tensor

from surefoot.observe.culprit import find_culprit
from surefoot.observe.gather import Gatherer
from surefoot.observe.graph import read_graph, roots_of
from surefoot.observe.instrument import Tools
from surefoot.observe.scalars import as_text
from surefoot.observe.untaken import UntakenLosses

ODD_BATCHES = 4  # batches with an odd loss that are read even where the budget is spent: some milliseconds each


class OddLosses:
    """Seeks the first culprit of what is not finite, and has the batch of an odd loss read.

    Parameters
    ----------
    tools : scene, budget, events
    gatherer : reads the batch
    """

    def __init__(self, tools: Tools, gatherer: Gatherer) -> None:
        self._tools, self._gatherer, self._scene = tools, gatherer, tools.scene
        self._read = 0  # batches that were read though the budget was spent
        self._untaken = UntakenLosses()

    def met(self, loss: Tensor, value: float | None, batch_unread: bool) -> None:
        """The backward of an odd loss begins; None: its value is not known. ``batch_unread``: no look reads its batch,
        and it is the first of its step."""
        if value is None or not math.isfinite(value):
            self._seek_culprit_once(loss, value)
        if not batch_unread:
            return
        budget = self._tools.budget
        affordable = budget.every is not None or budget.steady < budget.fraction
        if affordable or self._read < ODD_BATCHES:
            self._read += not affordable
            self._gatherer.at_odd_loss(loss)

    def computed(self) -> bool:
        """A loss function has given a loss that takes a gradient; whether it is time to see why no step is taken."""
        return self._untaken.computed(self._scene.clock.steps)

    def untaken(self, loss: Any) -> None:
        """Many losses have come and no step: is it because they are not finite?"""
        if type(loss) is not Tensor or not loss.is_cpu or not self._tools.later.immediate or not loss.requires_grad:
            return
        value = float(loss.detach().sum())
        if not math.isfinite(value):
            self._tools.tell("untaken", losses=self._untaken.count, value=as_text(value))
            self._seek_culprit_once(loss, value)

    def _seek_culprit_once(self, loss: Tensor, value: float | None) -> None:
        if not self._scene.nonfinite_told:
            self._scene.nonfinite_told = True
            self._tools.guard("culprit", self._seek_culprit, loss, value)

    def _seek_culprit(self, loss: Tensor, value: float | None) -> None:
        view = read_graph(roots_of(loss))
        self._scene.update(view.leaves)
        text = as_text(math.nan if value is None else value)
        culprit = find_culprit(view, self._scene.models, text, read_saved=not self._scene.checkpointing)
        if value is None and culprit.kind == "loss":
            return  # nothing was found, and the loss itself is not known to be no number
        self._tools.tell("nonfinite", **asdict(culprit))
