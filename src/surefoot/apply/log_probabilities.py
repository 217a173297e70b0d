"""``log-probabilities``: a loss function that has its own softmax or sigmoid, or wants logarithms, gets them.

Where its input is a probability (the operation that made it was a softmax or a sigmoid, or rows are non-negative and
sum to one) it is given the logarithms, in evaluations too: of the same model and the same targets that is the loss that
was meant. What is in order already is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from surefoot.apply.cure import Cure, Desk, Patch
from surefoot.apply.script_calls import losses_given
from surefoot.losses.probabilities import logits_of
from surefoot.observe.loss_site import shape_source

Link = Literal["softmax", "sigmoid"]
_MADE_BY: dict[str, Link] = {"SoftmaxBackward0": "softmax", "SigmoidBackward0": "sigmoid"}
_ROW_ERROR = 1e-3


class LogProbabilities(Cure):
    """Calls :func:`surefoot.losses.logits_of`."""

    id = "log-probabilities"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._seen: dict[str, Link] = {}  # by loss function, what was found in training

    def patches(self, guard: Callable[..., Any]) -> Iterator[Patch]:
        """Losses of classifiers."""
        return losses_given(("cross_entropy", "nll_loss", "binary_cross_entropy_with_logits"), guard, self._given)

    def _given(self, name: str, predictions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """With the logarithms, where the predictions are probabilities."""
        if not predictions.is_floating_point() or not predictions.dim():
            return predictions, targets
        link = self._link(name, predictions)
        if link is None:
            return predictions, targets
        self.act()
        return logits_of(predictions, link), targets

    def _link(self, name: str, predictions: Tensor) -> Link | None:
        node: Any = shape_source(predictions.grad_fn)
        if node is None:  # no gradient, so no graph: an evaluation of what was seen in training
            link = self._seen.get(name)
            return link if link is not None and _are_probabilities(predictions, link) else None
        link = _MADE_BY.get(node.name())
        if name == "binary_cross_entropy_with_logits":
            link = None if link is None else "sigmoid"  # each of a softmax's outputs is a probability too
        elif link is None or name == "nll_loss":
            link = "softmax" if link is not None or _are_probabilities(predictions, "softmax") else None
        if link is not None:
            self._seen[name] = link
        return link

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note("no loss function got probabilities in the place of logits; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"gave logarithms in the place of probabilities to {self.acted:,} losses"


@torch.no_grad()
def _are_probabilities(values: Tensor, link: Link) -> bool:
    """Whether all lie in [0, 1]; of a softmax, whether they also sum to one over the classes (dimension 1, or 0)."""
    if not bool(((values >= 0) & (values <= 1)).all()):
        return False
    return link == "sigmoid" or bool(((values.sum(dim=min(1, values.dim() - 1)) - 1).abs() < _ROW_ERROR).all())
