"""``kl-scale``: the divergence of a variational autoencoder weighs against its likelihood as in the evidence bound.

The bound is log p(x|z) − KL for each sample. A squared error of coefficient c on Σ (x − x̂)² stands for a Gaussian
likelihood of σ² = 1/(2c), and the likeliest σ² is the mean squared error itself (Rybkin, Daniilidis, Levine 2021,
Simple and Effective VAE Training with Calibrated Decoders, arXiv 2006.13202, §4); a cross-entropy (of words, or binary)
is a likelihood as it is, where it is summed over a sample. Averages in the place of sums, and weights, change their
ratio. Here both coefficients are read from the graph, and what the divergence sends back is scaled to their right
ratio; never by more than 1. The loss that the script sees and prints stays what it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import GradientEdge

from surefoot.analysis.latent import gaussian_kl
from surefoot.apply.cure import Cure, Desk
from surefoot.observe.graph import read_graph, roots_of
from surefoot.observe.loss_sum import split, split_samples, times
from surefoot.observe.nodes import Node, saved
from surefoot.observe.random_parts import Reparametrised, find_reparametrised

_FAR = 64  # nodes between a term and its likelihood
_EVERY = 10  # losses for which one reading serves, after the first few
_AT_FIRST = 16


@dataclass(frozen=True)
class _Likelihood:
    """What a reconstruction term is made of: the edge of what enters it, its gradient there if it were summed over all
    entries, and that sum's mean square (None where it is a likelihood already)."""

    edge: GradientEdge
    gradient: Tensor
    mean_square: Tensor | None


class KLScale(Cure):
    """Scales the gradient of the divergence, in the script's own backward."""

    id = "kl-scale"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._scale: Tensor | None = None
        self._kappa = torch.zeros(())  # by what the script multiplies the divergence, summed over the batch
        self._saved: Tensor | None = None  # what scaling takes off the loss under way

    def at_backward(self, tensors: Any) -> None:
        """Read the coefficients of both terms, and scale the divergence."""
        roots = roots_of(tensors)
        self._saved = None
        if len(roots) != 1 or torch._C._current_graph_task_id() != -1:
            return
        terms = [term.edge for term in split(roots[0])] or split_samples(roots[0])
        parts = [(term, likelihood) for term in terms if (likelihood := _likelihood(term)) is not None]
        if len(parts) != 1 or len(terms) < 2:
            return
        reconstruction, likelihood = parts[0]
        rest = [term for term in terms if term is not reconstruction]
        part = find_reparametrised(read_graph(roots).nodes)
        if part is None:
            return
        if self._scale is None or self.acted < _AT_FIRST or self.acted % _EVERY == 0:
            self._read(roots[0], reconstruction, likelihood, rest, part)
        if self._scale is None:
            return
        self._saved = (1 - self._scale) * self._kappa * gaussian_kl(part.mean, part.std).sum() * len(part.mean)
        for term in rest:
            term.node.register_prehook(times(self._scale))
        self.act()

    def worth(self, tensors: Any) -> Any:
        """The loss with the divergence scaled."""
        return None if self._saved is None else tensors - self._saved.to(tensors)

    def _read(
        self,
        root: Tensor,
        reconstruction: GradientEdge,
        likelihood: _Likelihood,
        rest: Sequence[GradientEdge],
        part: Reparametrised,
    ) -> None:
        c = _coefficient(root, [reconstruction], likelihood.edge, likelihood.gradient)
        # of ½ Σ μ² the gradient is μ
        kappa = _coefficient(root, rest, GradientEdge(part.made_by, 0), part.mean)
        if c is None or kappa is None or not bool(kappa > 0) or not bool(c > 0):
            return
        right = c if likelihood.mean_square is None else 2 * c * likelihood.mean_square
        self._kappa, self._scale = kappa, (right / kappa).clamp_max(1.0)

    def at_close(self) -> None:
        """Say so where there was nothing to change."""
        if not self.acted:
            self.note(
                "no loss was the sum of one squared error or cross-entropy and a Gaussian divergence; nothing was "
                "changed"
            )

    def summary(self) -> str:
        """By how much."""
        if self._scale is None:
            return "scaled no divergence"
        return f"scaled the divergence in {self.acted:,} losses (× {float(self._scale):.3g} at last)"


def _coefficient(root: Tensor, terms: Sequence[GradientEdge], edge: GradientEdge, unit: Tensor) -> Tensor | None:
    """By what ``unit`` is multiplied to be the gradient of the loss at an edge, by way of these terms (least
    squares)."""
    above = torch.autograd.grad(root, terms, retain_graph=True)
    gradient = torch.autograd.grad(terms, [edge], above, retain_graph=True, allow_unused=True)[0]
    if gradient is None or gradient.numel() != unit.numel():
        return None
    flat, one = gradient.detach().reshape(-1).double(), unit.reshape(-1).double()
    return (flat @ one) / (one @ one).clamp_min(torch.finfo(torch.float64).tiny)


def _likelihood(term: GradientEdge) -> _Likelihood | None:
    """The first squared error or cross-entropy between a term and what made its input."""
    for node in _above(term.node):
        name = node.name()
        below = [GradientEdge(child, number) for child, number in node.next_functions if child is not None]
        if len(below) != 1:
            continue
        inputs, targets = saved(node, "self"), saved(node, "target")
        if name == "MseLossBackward0" and inputs is not None and targets is not None:
            residual = inputs - targets
        elif name == "PowBackward0" and getattr(node, "_saved_exponent", None) == 2 and inputs is not None:
            residual = inputs
            if below[0].node.name() not in ("SubBackward0", "RsubBackward1"):
                continue  # the square of a mean, as in a divergence
        elif name == "MulBackward0" and below[0].node.name() == "LogSoftmaxBackward0":
            weights = saved(node, "self", "other")  # −Σ counts · log p
            if weights is None or weights.shape != tuple(below[0].node._input_metadata[0].shape):
                continue
            return _Likelihood(below[0], -weights, None)
        elif name == "NllLossBackward0" and inputs is not None and targets is not None and targets.dim() == 1:
            counted = (targets >= 0) & (targets < inputs.shape[-1])  # not those that are to be ignored
            chosen = F.one_hot(targets.where(counted, 0), inputs.shape[-1]) * counted.unsqueeze(1)
            return _Likelihood(below[0], -chosen.to(inputs.dtype), None)
        elif name == "BinaryCrossEntropyBackward0" and inputs is not None and targets is not None:
            return _Likelihood(below[0], (inputs - targets) / (inputs * (1 - inputs)).clamp_min(1e-12), None)
        elif name == "BinaryCrossEntropyWithLogitsBackward0" and inputs is not None and targets is not None:
            return _Likelihood(below[0], inputs.sigmoid() - targets, None)
        else:
            continue
        return _Likelihood(below[0], 2 * residual, residual.square().mean())
    return None


def _above(node: Node) -> Iterator[Node]:
    """Nodes from the term downwards, breadth first."""
    waiting, seen = [node], {node}
    for _ in range(_FAR):
        if not waiting:
            return
        now = waiting.pop(0)
        yield now
        for child, _ in now.next_functions:
            if child is not None and child not in seen:
                seen.add(child)
                waiting.append(child)
