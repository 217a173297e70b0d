"""Ensembles of random networks, and trainings of deep ones: what the study of critical points measures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from surefoot.init.activations import Activation, as_function
from surefoot.studies.problems.digits import digits

_AT_ONCE = 16  # networks whose weights are kept for their backward
ROWS = 1300
WIDTH = 128


@dataclass(frozen=True)
class Ensemble:
    """Random networks that saw one input of mean square 1, layer by layer; each of shape (nets, depth).

    Attributes
    ----------
    entering : mean square of the numbers that a layer's weights multiply
    gradient : ‖∂z_out/∂z‖² of one output with respect to the layer's preactivations
    """

    entering: Float[Tensor, "nets depth"]
    gradient: Float[Tensor, "nets depth"]

    def tangent_kernel(self, lambda_b: Tensor | float = 1.0, lambda_W: Tensor | float = 1.0) -> float:
        """Mean over networks of Σ over layers of (λ_b + λ_W · entering) · gradient."""
        return float((self.gradient * (lambda_b + lambda_W * self.entering)).sum(1).mean())


@torch.no_grad()
def ensemble(act: Activation, width: int, depth: int, nets: int, C_W: float, generator: torch.Generator) -> Ensemble:
    """Draw networks without biases, first preactivations of variance 1, and take one output's gradient through each."""
    function = as_function(act)
    entering, gradient = torch.ones(nets, depth), torch.ones(nets, depth)
    for first in range(0, nets, _AT_ONCE):
        rows = slice(first, min(first + _AT_ONCE, nets))
        z = torch.randn(rows.stop - first, width, 1, generator=generator)
        kept = []
        for layer in range(1, depth):
            with torch.enable_grad():
                a = function(z.requires_grad_())
                (slope,) = torch.autograd.grad(a.sum(), z)
            a = a.detach()
            entering[rows, layer] = a.square().mean(dim=(1, 2))
            weight = torch.randn(len(a), width, width, generator=generator).mul_(math.sqrt(C_W / width))
            kept.append((weight, slope))
            z = weight @ a
        back = torch.zeros_like(z)
        back[:, 0] = 1
        for layer, (weight, slope) in reversed(list(enumerate(kept))):
            back = slope * (weight.mT @ back)
            gradient[rows, layer] = back.square().sum(dim=(1, 2))
    return Ensemble(entering, gradient)


def network(act: Callable[[], nn.Module], depth: int, width: int = WIDTH) -> nn.Sequential:
    """``depth`` linear layers from 64 pixels to 10 classes, as PyTorch draws them from its global generator."""
    layers: list[nn.Module] = [nn.Linear(64, width), act()]
    for _ in range(depth - 2):
        layers += [nn.Linear(width, width), act()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


@torch.no_grad()
def draw(model: nn.Sequential, C_W: float, generator: torch.Generator) -> None:
    """Weights of variance C_W/fan_in, biases of zero: the neighbours of a critical point."""
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.weight.normal_(0, math.sqrt(C_W / layer.in_features), generator=generator)
            layer.bias.zero_()


def images(seed: int) -> tuple[Float[Tensor, "rows 64"], Tensor]:
    """Training digits, every pixel standardised and then every image scaled to a mean square of 1."""
    data = digits(seed, 1 - ROWS / 1797)
    x = data.x_train - data.x_train.mean(0)
    x = x / data.x_train.std(0).clamp_min(1e-6)
    return x / x.square().mean(1, keepdim=True).sqrt(), data.y_train


def train(model: nn.Sequential, x: Tensor, y: Tensor, steps: int, lr: float, seed: int) -> float:
    """Cross-entropy over all rows after some steps of gradient descent on batches of 128; infinite once it diverges."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(steps):
        rows = torch.randint(len(x), (128,), generator=generator)
        loss = F.cross_entropy(model(x[rows]), y[rows])
        if not math.isfinite(loss.item()):
            return math.inf
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        end = F.cross_entropy(model(x), y).item()
    return end if math.isfinite(end) else math.inf
