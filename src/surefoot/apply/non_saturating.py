"""``non-saturating``: a generator that is to make its critic wrong is told so where the critic is sure.

Against a critic that is sure of itself, log(1 − σ(l)) has the gradient −σ(l) by the critic's logits l, which vanishes;
−log σ(l) has the same fixed point and the gradient −(1 − σ(l)), which does not (Goodfellow et al. 2014, arXiv
1406.2661, §3). Which of them the script has is seen by the gradient itself, however its loss is written.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from surefoot.apply.cure import Desk, ModelCure
from surefoot.apply.players import Players
from surefoot.observe.graph import read_graph, roots_of
from surefoot.observe.loss_site import shape_source

_TINY = 1e-8
_LIKE = 0.05  # of the gradient: what a term of another kind may add to it
_BETTER = 0.5  # of what is off with another form: half at the most


class NonSaturating(ModelCure):
    """Gives the critic's scores of samples the gradient of −log σ where they have that of log(1 − σ)."""

    id = "non-saturating"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._players = Players()
        self._weight: float | None = None  # of the loss, once it was seen to be the one that saturates

    def met(self, model: nn.Module) -> None:
        """See who makes samples, and who judges."""
        self._players.follow(model)

    def at_backward(self, tensors: Any) -> None:
        """If it is the generator's, see what gradient the scores get, and give them the other."""
        scores, self._players.scores = self._players.scores, None
        if scores is None or scores.grad_fn is None or torch._C._current_graph_task_id() != -1:
            return
        roots = roots_of(tensors)
        if scores.grad_fn not in set(read_graph(roots).nodes):
            return
        [gradient] = torch.autograd.grad(roots, scores, [torch.ones_like(r) for r in roots], True, allow_unused=True)
        if gradient is None:
            return
        scores_now, probabilities = scores.detach(), _squashed(scores)
        self._weight = _weight(gradient, scores_now, probabilities) or self._weight
        if self._weight is not None:
            other = 1 / scores_now.clamp_min(_TINY) if probabilities else 1 - torch.sigmoid(scores_now)
            given = -self._weight * other
            scores.register_hook(lambda _: given)
            self.act()

    def at_close(self) -> None:
        """Take the hooks off; say so where there was nothing to change."""
        self._players.let_go()
        if not self.acted:
            self.note("no generator's loss had the gradient of log(1 − D) by its critic's scores; nothing was changed")

    def summary(self) -> str:
        """How often."""
        return f"put −log D in the place of log(1 − D) in {self.acted:,} losses of the generator"


def _weight(gradient: Tensor, scores: Tensor, probabilities: bool) -> float | None:
    """What log(1 − D) is multiplied by in the loss, if the gradient is that of it; None if it is another one's.

    It must fit better than those of −log D and of a critic without a sigmoid: near D = ½ all three are alike.
    """
    if probabilities:
        saturating, other = 1 / (1 - scores).clamp_min(_TINY), 1 / scores.clamp_min(_TINY)
    else:
        saturating, other = torch.sigmoid(scores), 1 - torch.sigmoid(scores)
    weight, off = _fit(gradient, saturating)
    nearest = min(_fit(gradient, other)[1], _fit(gradient, torch.ones_like(scores))[1])
    return weight if weight > 0 and off <= _LIKE and off < _BETTER * nearest else None


def _fit(gradient: Tensor, form: Tensor) -> tuple[float, float]:
    """By what −form is to be multiplied to be the gradient, and what is off then, as a share of the gradient."""
    weight = -float((gradient * form).sum() / form.square().sum())
    return weight, float((gradient + weight * form).norm() / gradient.norm())


def _squashed(scores: Tensor) -> bool:
    """Whether the critic's last op is a sigmoid."""
    node = shape_source(scores.grad_fn)
    return node is not None and node.name() == "SigmoidBackward0"
