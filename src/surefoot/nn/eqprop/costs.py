"""What the output is pulled towards: costs on the state's last layer."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class SquaredError(nn.Module):
    """C = ½|y − d|² of each sample.

    The authors' code has no ½: its β is half of the paper's, which is the one here.

    Raises
    ------
    ValueError
        If the target has not the output's shape, as labels have not: one-hot them.
    """

    def forward(self, output: Float[Tensor, "batch outputs"], target: Tensor) -> Float[Tensor, " batch"]:
        return 0.5 * self.slope(output, target).square().sum(1)

    def slope(self, output: Float[Tensor, "batch outputs"], target: Tensor) -> Float[Tensor, "batch outputs"]:
        """∂C/∂y of each sample."""
        if target.shape != output.shape:  # it would broadcast
            raise ValueError(f"target: got shape {tuple(target.shape)}; use that of the output, {tuple(output.shape)}")
        return output - target


class CrossEntropyReadout(nn.Module):
    """C = −log softmax(y W + b)_d: the classes are read out and are no units themselves.

    Parameters
    ----------
    units, classes : of the last layer, and of the targets

    Source: Laborieux et al., arXiv 2006.03824, section 3.4.
    """

    def __init__(self, units: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(units, classes)

    def forward(self, output: Float[Tensor, "batch units"], target: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        return F.cross_entropy(self.linear(output), target, reduction="none")

    def slope(
        self, output: Float[Tensor, "batch units"], target: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch units"]:
        """∂C/∂y of each sample: (softmax − one-hot) Wᵀ."""
        probabilities = self.linear(output).softmax(1)
        ones = F.one_hot(target, probabilities.shape[1]).to(probabilities)
        return (probabilities - ones) @ self.linear.weight


Cost = SquaredError | CrossEntropyReadout | nn.Module


def nudge(cost: nn.Module, output: Tensor, target: Tensor) -> Tensor:
    """∂C/∂y of each sample: the cost's own ``slope``, or autograd for a cost that has none."""
    slope = getattr(cost, "slope", None)
    if slope is not None:
        return slope(output, target)
    return torch.func.grad(lambda y: cost(y, target).sum())(output)
