"""What the study of drift trains: nets at fixed and adjusted rates, GANs with and without their interaction terms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surefoot.analysis.drift import geometric_complexity
from surefoot.autodiff import HessianOperator, extreme_eigenpairs
from surefoot.optim import DAL, DriftCancellingGame
from surefoot.studies.problems.digits import digits


def tanh_net(hidden: tuple[int, ...], seed: int, activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    """64 pixels to 10 classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        inputs = 64
        for width in hidden:
            layers += [nn.Linear(inputs, width), activation()]
            inputs = width
        return nn.Sequential(*layers, nn.Linear(inputs, 10))


def half_squares(outputs: Tensor, targets: Tensor) -> Tensor:
    """Half the squared error, summed over classes, mean over rows."""
    return (outputs - F.one_hot(targets, 10)).square().sum(dim=1).mean() / 2


@dataclass(frozen=True)
class Edge:
    """hλ_max before each step, the losses, and at which steps the loss rose."""

    scaled: list[float]
    losses: list[float]
    rises: list[int]


def edge_of_stability(seed: int, lr: float, steps: int, every: int) -> Edge:
    """Full-batch gradient descent on 400 digits, the sharpness measured at every ``every``-th step."""
    data = digits(seed, test_share=0.0)
    x, y = data.x_train[:400] - data.x_train[:400].mean(dim=0), data.y_train[:400]
    model = tanh_net((64,), seed)
    optimizer = torch.optim.SGD(model.parameters(), lr)
    scaled, losses, start = [], [], None
    for step in range(steps):
        if step % every == 0:
            found = extreme_eigenpairs(HessianOperator(model, half_squares, (x, y)), 1, "LA", 1e-2, start=start)
            start = found.restart
            scaled.append(lr * float(found.values[0]))
        loss = half_squares(model(x), y)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    rises = [i for i in range(steps - 1) if losses[i + 1] > losses[i]]
    return Edge(scaled, losses, rises)


@dataclass(frozen=True)
class Descent:
    """Losses of one training, and how they rose."""

    losses: list[float]

    @property
    def final(self) -> float:
        """The last loss; inf where it is none."""
        return self.losses[-1] if math.isfinite(self.losses[-1]) else math.inf

    @property
    def rising(self) -> float:
        """Share of steps at which the loss rose."""
        return sum(not b <= a for a, b in pairwise(self.losses)) / (len(self.losses) - 1)

    @property
    def largest_rise(self) -> float:
        """Of one step."""
        return max(
            b - a if math.isfinite(b - a) else math.inf for a, b in zip(self.losses, self.losses[1:], strict=False)
        )


def descend(seed: int, steps: int, lr: float | None = None, p: float = 1.0) -> Descent:
    """Full batch of 800 digits, cross-entropy; at a fixed rate, or DAL with a power."""
    data = digits(seed, test_share=0.0)
    x, y = data.x_train[:800], data.y_train[:800]
    model = tanh_net((64, 64), seed)
    optimizer: torch.optim.Optimizer = (
        torch.optim.SGD(model.parameters(), lr) if lr is not None else DAL(model.parameters(), p)
    )
    losses = []
    for _ in range(steps):
        if isinstance(optimizer, DAL):
            losses.append(float(optimizer.step(lambda: F.cross_entropy(model(x), y))))
            continue
        loss = F.cross_entropy(model(x), y)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Descent(losses)


def dirac(cancel: float, steps: int, lr: float = 0.1) -> list[float]:
    """Distance from the equilibrium of E = softplus(φθ), φ raising and θ lowering it, from (1, 1)."""
    phi, theta = (nn.Parameter(torch.ones((), dtype=torch.float64)) for _ in range(2))
    game = DriftCancellingGame(
        lambda b: -F.softplus(phi * theta), lambda b: F.softplus(phi * theta), [phi], [theta], lr, lr, cancel=cancel
    )
    radii = []
    for _ in range(steps):
        game.step()
        radii.append(float(torch.hypot(phi, theta).detach()))
    return radii


class Ring:
    """A zero-sum GAN with the saturating loss on eight Gaussians on a ring of radius 1.5."""

    def __init__(self, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._g = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
            self._d = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
        self._generator = torch.Generator().manual_seed(seed)
        angles = torch.arange(8) * math.pi / 4
        self._centres = 1.5 * torch.stack([angles.cos(), angles.sin()], dim=1)
        self.first, self.second = list(self._d.parameters()), list(self._g.parameters())

    def batch(self, rows: int = 128) -> tuple[Tensor, Tensor]:
        """Points of the ring, and noise."""
        picked = torch.randint(8, (rows,), generator=self._generator)
        points = self._centres[picked] + 0.1 * torch.randn(rows, 2, generator=self._generator)
        return points, torch.randn(rows, 8, generator=self._generator)

    def value(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """What the discriminator lowers and the generator raises."""
        real, noise = batch
        return F.softplus(-self._d(real)).mean() + F.softplus(self._d(self._g(noise))).mean()

    def samples(self) -> Tensor:
        """A thousand."""
        with torch.no_grad():
            return self._g(self.batch(1000)[1])

    def judged(self, samples: Tensor | None = None) -> tuple[float, int]:
        """Squared maximum mean discrepancy of samples from the ring, and how many of its modes have ten or more."""
        samples = self.samples() if samples is None else samples
        near = torch.cdist(samples, self._centres)
        reached = torch.bincount(near.argmin(dim=1)[near.min(dim=1).values < 0.3], minlength=8)
        return _mmd(samples, self.batch(1000)[0]), int((reached >= 10).sum())


@dataclass(frozen=True)
class RingGAN:
    """How a training on the ring ended."""

    mmd: float
    modes: int
    samples: Tensor


def ring_gan(seed: int, cancel: float, steps: int, lr: float = 0.3) -> RingGAN:
    """Simultaneous SGD, with the interaction cancelled or not."""
    ring = Ring(seed)
    game = DriftCancellingGame(ring.value, lambda b: -ring.value(b), ring.first, ring.second, lr, lr, cancel=cancel)
    for _ in range(steps):
        game.step(ring.batch())
    samples = ring.samples()
    return RingGAN(*ring.judged(samples), samples)


def _mmd(a: Tensor, b: Tensor) -> float:
    def kernel(x: Tensor, y: Tensor) -> Tensor:
        squares = torch.cdist(x, y).square()
        return sum((torch.exp(-squares / (2 * s**2)) for s in (0.1, 0.3, 1.0)), torch.zeros(()))

    return float(kernel(a, a).mean() + kernel(b, b).mean() - 2 * kernel(a, b).mean())


def complexity_at_equal_loss(seed: int, lr: float, until: float, most: int = 6000) -> float:
    """Geometric complexity of a ReLU net when SGD of batch 32 first brings the whole training loss below ``until``."""
    data = digits(seed, test_share=0.0)
    x, y = data.x_train[:600], data.y_train[:600]
    model = tanh_net((64, 64), seed, nn.ReLU)
    optimizer = torch.optim.SGD(model.parameters(), lr)
    generator = torch.Generator().manual_seed(seed)
    for step in range(most):
        rows = torch.randint(600, (32,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
        if step % 10 == 9:
            with torch.no_grad():
                if float(F.cross_entropy(model(x), y)) < until:
                    break
    return geometric_complexity(model, x[:200])
