"""What the study of shallow networks measures: errors of expansions, digits by both wirings, truncation, gradients."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surefoot.analysis.residual_expansion import (
    branch_norms,
    determination_ratio,
    expand_residual,
    first_order_bound,
    remainder_bound,
)
from surefoot.nn.shallow import ParallelStack, ResidualStack, fuse_parallel

Images = tuple[Tensor, Tensor, Tensor, Tensor]
SLOPES = {"tanh": 1.0, "gelu": 1.129}  # largest slope of each activation
_ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "gelu": nn.GELU}


# ---- expansion ----


def expansion_errors(activation: str, sums: tuple[float, ...], seed: int, d: int = 32, depth: int = 8) -> np.ndarray:
    """For each S, the sum of the branches' Lipschitz constants: errors of order 1 and 2 and the bound of order 1.

    Branches V σ(W x) with a constant of S/depth each, by the norms of V and W; all relative to ‖x‖, in float64.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        branches = [
            nn.Sequential(nn.Linear(d, d, bias=False), _ACTIVATIONS[activation](), nn.Linear(d, d, bias=False)).double()
            for _ in range(depth)
        ]
        x = torch.randn(64, d, dtype=torch.float64)
    for branch in branches:
        first, last = branch[0].weight.data, branch[2].weight.data
        first /= torch.linalg.matrix_norm(first, 2)
        last /= torch.linalg.matrix_norm(last, 2) * SLOPES[activation]
    rows = []
    with torch.no_grad():
        for total in sums:
            stack = ResidualStack(branches, total / depth)
            y = stack(x)
            bound = first_order_bound([total / depth] * depth, branch_norms(stack, x))
            errors = [(y - expand_residual(stack, x, k)).norm(dim=1) for k in (1, 2)]
            ratios = [error / x.norm(dim=1) for error in (*errors, bound)]
            rows.append([float(r.mean()) for r in ratios] + [float((errors[0] / bound).max())])
    return np.array(rows).T


def linear_bound(sums: tuple[float, ...], depth: int = 8) -> list[float]:
    """What the order 1 of linear branches leaves out at most, for each S."""
    return [remainder_bound([total / depth] * depth) for total in sums]


# ---- digits ----


def branches_of(depth: int, channels: int, kernel: int) -> list[nn.Module]:
    """Convolutions of one width, each with its ReLU."""
    return [nn.Sequential(nn.Conv2d(channels, channels, kernel, padding=kernel // 2), nn.ReLU()) for _ in range(depth)]


def network(depth: int, channels: int, kernel: int, seed: int) -> tuple[nn.Sequential, ResidualStack]:
    """Stem, residual stack, head; and the stack."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stem = nn.Sequential(nn.Conv2d(1, channels, 3, padding=1), nn.ReLU())
        stack = ResidualStack(branches_of(depth, channels, kernel))
        head = nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, 10))
    return nn.Sequential(stem, stack, head), stack


@dataclass(frozen=True)
class Fit:
    """Cross-entropies on training and test images, and the accuracy on the latter."""

    train: float
    test: float
    accuracy: float


def fit(model: nn.Module, data: Images, seed: int, epochs: int) -> None:
    """Adam at 1e-3, 64 images a step."""
    x, y = data[:2]
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).split(64):
            loss = F.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@torch.no_grad()
def judge(model: Callable[[Tensor], Tensor], data: Images) -> Fit:
    """A model on the whole of the data."""
    x, y, x_test, y_test = data
    logits = model(x_test)
    accuracy = float((logits.argmax(1) == y_test).double().mean())
    return Fit(F.cross_entropy(model(x), y).item(), F.cross_entropy(logits, y_test).item(), accuracy)


def both(
    depth: int, channels: int, kernel: int, data: Images, seed: int, epochs: int
) -> tuple[nn.Sequential, Fit, Fit, float]:
    """The sequential network, its fit, that of the parallel one from the same weights (fused: exact), and Q."""
    deep, _ = network(depth, channels, kernel, seed)
    start, stack = network(depth, channels, kernel, seed)
    shallow = nn.Sequential(start[0], fuse_parallel(stack.parallel()), start[2])
    Q = determination_ratio(len(data[0]), 10, deep)
    for model in (deep, shallow):
        fit(model, data, seed, epochs)
    return deep, judge(deep, data), judge(shallow, data), Q


def truncated(deep: nn.Sequential, order: int) -> Callable[[Tensor], Tensor]:
    """The network with its stack expanded to an order."""
    stem, stack, head = deep
    assert isinstance(stack, ResidualStack)
    return lambda x: head(expand_residual(stack, stem(x), order))


def stack_size(deep: nn.Sequential, x: Tensor) -> float:
    """Σ ‖F_i(x_0)‖/‖x_0‖ at the stack's input, a mean over samples."""
    stack = deep[1]
    assert isinstance(stack, ResidualStack)
    with torch.no_grad():
        start = deep[0](x)
        return float((branch_norms(stack, start).sum(0) / start.flatten(1).norm(dim=1)).mean())


def recovery(deep: nn.Sequential, data: Images, seed: int, epochs: int) -> list[float]:
    """Test accuracies of the truncated network, as it is and after each epoch of training on."""
    stack = deep[1]
    assert isinstance(stack, ResidualStack)
    shallow = nn.Sequential(deep[0], fuse_parallel(stack.parallel()), deep[2])
    found = [judge(shallow, data).accuracy]
    for epoch in range(epochs):
        fit(shallow, data, 1000 * seed + epoch, 1)
        found.append(judge(shallow, data).accuracy)
    return found


# ---- gradients and time ----


class _Plain(nn.Module):
    def __init__(self, branches: list[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        for branch in self.branches:
            x = branch(x)
        return x


WIRINGS: dict[str, Callable[[list[nn.Module]], nn.Module]] = {
    "plain": _Plain,
    "residual": ResidualStack,
    "parallel": ParallelStack,
}


def gradient_ratio(wiring: str, depth: int, seed: int, channels: int = 8) -> float:
    """Norm of the first branch's gradient over that of the last, at the start, on standard-normal images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        branches = branches_of(depth, channels, 3)
        x, g = torch.randn(16, channels, 8, 8), torch.randn(16, channels, 8, 8)
    WIRINGS[wiring](branches)(x).backward(g)
    norms = [nn.utils.get_total_norm([p.grad for p in branches[i].parameters() if p.grad is not None]) for i in (0, -1)]
    return float(norms[0] / norms[1])


def seconds(depth: int, channels: int, seed: int, rounds: int = 5) -> dict[str, float]:
    """Median seconds of forward and backward of 64 images: in sequence, in parallel by a loop, fused."""
    _, stack = network(depth, channels, 3, seed)
    x = torch.randn(64, channels, 8, 8)
    arms = {"sequential": stack, "loop": stack.parallel(), "fused": fuse_parallel(stack.parallel())}
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds + 1):
        for name, module in arms.items():
            begin = time.perf_counter()
            torch.autograd.grad(module(x).square().mean(), list(module.parameters()))
            times[name].append(time.perf_counter() - begin)
    return {name: float(np.median(values[1:])) for name, values in times.items()}
