"""The unconstrained features model itself: features and linear layers as free variables, and its minimum by L-BFGS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


class UnconstrainedFeatures(nn.Module):
    """F = (1/2N)‖W_M … W_1 H − Y‖² + Σ (λ_j/2)‖W_j‖² + (λ_H/2)‖H‖² over H and all W (arXiv 2301.00437, equation 1).

    Parameters
    ----------
    class_counts : n_k
    dim : features, and width of the layers between
    weight_decays : λ_1 … λ_M, first layer first
    feature_decay : λ_H, on the sum of the squared features
    bias : an unregularised bias of the last layer
    scale : standard deviation of the start; from a small one descent may end in total collapse, a local minimum for
        M ≥ 2
    seed : of the start

    Raises
    ------
    ValueError
        For no class or layer, decays that are not positive.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        dim: int,
        weight_decays: Sequence[float],
        feature_decay: float,
        *,
        bias: bool = False,
        scale: float = 0.3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not class_counts or min(class_counts) < 1 or dim < 1:
            raise ValueError(f"class_counts, dim: got {class_counts!r}, {dim}; must be positive")
        if not weight_decays or min(weight_decays) <= 0 or not feature_decay > 0:
            raise ValueError(f"weight_decays, feature_decay: got {weight_decays!r}, {feature_decay}; must be positive")
        classes, total = len(class_counts), sum(class_counts)
        generator = torch.Generator().manual_seed(seed)

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(scale * torch.randn(*shape, generator=generator, dtype=torch.float64))

        outputs = [dim] * (len(weight_decays) - 1) + [classes]
        self.layers = nn.ParameterList([drawn(width, dim) for width in outputs])
        self.features = drawn(dim, total)
        self.bias = nn.Parameter(torch.zeros(classes, dtype=torch.float64)) if bias else None
        self.weight_decays, self.feature_decay = tuple(weight_decays), feature_decay
        self.labels: Tensor
        self.register_buffer("labels", torch.repeat_interleave(torch.arange(classes), torch.tensor(class_counts)))

    def product(self) -> Float[Tensor, "classes dim"]:
        """A = W_M … W_1."""
        result = self.layers[0]
        for layer in self.layers[1:]:
            result = layer @ result
        return result

    def forward(self) -> Float[Tensor, "classes total"]:
        """The logits of every sample."""
        hidden: Tensor = self.features
        for layer in self.layers:
            hidden = layer @ hidden
        return hidden if self.bias is None else hidden + self.bias[:, None]

    def loss(self) -> Float[Tensor, ""]:
        """F."""
        targets = nn.functional.one_hot(self.labels, self.layers[-1].shape[0]).T.to(self.features)
        total = (self() - targets).square().sum() / (2 * len(self.labels))
        for decay, layer in zip(self.weight_decays, self.layers, strict=True):
            total = total + decay / 2 * layer.square().sum()
        return total + self.feature_decay / 2 * self.features.square().sum()


@dataclass(frozen=True)
class UFMSolution:
    """A minimum of F, and the geometry there."""

    model: UnconstrainedFeatures
    loss: float
    gram_classifier: Float[Tensor, "classes classes"]
    means: Float[Tensor, "classes dim"]
    logit_matrix: Float[Tensor, "classes classes"]
    within: float  # summed squared distances of samples from their class's mean


def solve_ufm(
    class_counts: Sequence[int],
    dim: int,
    weight_decays: Sequence[float],
    feature_decay: float,
    *,
    bias: bool = False,
    scale: float = 0.3,
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 2000,
) -> UFMSolution:
    """The best of the minima that L-BFGS finds from several starts; compare losses, since some starts end elsewhere.

    Parameters
    ----------
    class_counts, dim, weight_decays, feature_decay, bias, scale : see :class:`UnconstrainedFeatures`
    seeds : of the starts
    steps : of L-BFGS at most, each
    """
    best: UnconstrainedFeatures | None = None
    least = float("inf")
    for seed in seeds:
        model = UnconstrainedFeatures(
            class_counts, dim, weight_decays, feature_decay, bias=bias, scale=scale, seed=seed
        )
        optimizer = torch.optim.LBFGS(
            model.parameters(), max_iter=steps, max_eval=2 * steps, history_size=50,
            tolerance_grad=1e-11, tolerance_change=1e-16, line_search_fn="strong_wolfe",
        )  # fmt: skip

        def closure(model: UnconstrainedFeatures = model) -> Tensor:
            model.zero_grad()
            loss = model.loss()
            loss.backward()
            return loss

        optimizer.step(closure)
        found = float(model.loss().detach())
        if found < least:
            best, least = model, found
    if best is None:
        raise ValueError("seeds: is empty; give at least one start")
    with torch.no_grad():
        product, labels = best.product().detach(), best.labels
        counts = torch.bincount(labels).double()
        means = torch.zeros(len(counts), dim, dtype=torch.float64).index_add_(0, labels, best.features.T)
        means /= counts[:, None]
        logits = product @ means.T
        if best.bias is not None:
            logits = logits + best.bias[:, None]
        within = float((best.features.T - means[labels]).square().sum())
    return UFMSolution(best, least, product @ product.T, means, logits, within)
