"""The two-layer linear model in which opposing signals can be solved in closed form.

Inputs x_b ~ N(0, I_d) carry the signal and x_o ∈ R^k the outliers: x_o = ±√(α / (p k)) · 1 with probability p/2 each,
else 0, so that E[x_o x_oᵀ] = (α/k) 1 1ᵀ. The target is y = ⟨β, x_b⟩ + |⟨1, x_o⟩|/√k: x_o is uncorrelated with y, its
two signs want opposite outputs of any linear function. The network is f = c (⟨b, x_b⟩ + ⟨o, x_o⟩). With s = ⟨1, o⟩/√k

    L = ½ |c b − β|² + ½ α c² s² + α/2.

The model is that of Rosenfeld and Risteski, arXiv 2311.04163, in a reconstructed form; every formula here is derived
and checked against autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Trajectory:
    """Values along a path of the model: ``times`` are steps of gradient descent, or time of the flow."""

    times: Float[Tensor, " points"]
    parameters: Float[Tensor, "points parameters"]
    loss: Float[Tensor, " points"]
    sharpness: Float[Tensor, " points"]
    opposing: Float[Tensor, " points"]
    """s, the weight along the outliers' direction."""
    group_losses: Float[Tensor, "points 2"]
    """Expected loss of the samples with x_o positive, and negative."""
    invariant: Float[Tensor, " points"]
    """Q = |b|² + |o|² − c², conserved by the flow."""


@dataclass(frozen=True)
class OpposingLinearModel:
    """Population loss and its derivatives in closed form; parameters are one vector (b, o, c).

    Parameters
    ----------
    alpha : power of the outlier direction, E⟨1, x_o⟩²/k
    beta : the signal, d numbers
    k : dimension of the outliers' part
    p : probability that a sample is an outlier

    Raises
    ------
    ValueError
        For alpha ≤ 0, an empty or zero beta, k < 1, p outside (0, 1].
    """

    alpha: float
    beta: Float[Tensor, " d"]
    k: int = 4
    p: float = 0.1

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise ValueError(f"alpha: got {self.alpha}; must be positive")
        if self.beta.dim() != 1 or not bool(self.beta.any()):
            raise ValueError(f"beta: got shape {tuple(self.beta.shape)}; must be a non-zero vector")
        if self.k < 1 or not 0 < self.p <= 1:
            raise ValueError(f"k, p: got {self.k}, {self.p}; must be k ≥ 1 and p in (0, 1]")

    def start(self, s: float = 0.5, c: float = 1.0, seed: int = 0) -> Float[Tensor, " parameters"]:
        """Parameters with b a random unit vector, o along the outliers' direction with weight s, and c."""
        b = torch.randn(len(self.beta), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        o = torch.full((self.k,), s / math.sqrt(self.k), dtype=torch.float64)
        return torch.cat([b / b.norm(), o, torch.tensor([c], dtype=torch.float64)]).to(self.beta)

    def split(self, parameters: Float[Tensor, "... parameters"]) -> tuple[Tensor, Tensor, Tensor]:
        """The parts b, o, c of a parameter vector, or of many."""
        d = len(self.beta)
        if parameters.shape[-1] != d + self.k + 1:
            raise ValueError(f"parameters: got {parameters.shape[-1]} values; must be d + k + 1 = {d + self.k + 1}")
        return parameters[..., :d], parameters[..., d : d + self.k], parameters[..., d + self.k]

    def opposing(self, parameters: Float[Tensor, "... parameters"]) -> Float[Tensor, ...]:
        """s = ⟨1, o⟩/√k."""
        return self.split(parameters)[1].sum(dim=-1) / math.sqrt(self.k)

    def loss(self, parameters: Float[Tensor, "... parameters"]) -> Float[Tensor, ...]:
        """½ |c b − β|² + ½ α c² s² + α/2; the last term can't be reduced by a linear network."""
        b, _, c = self.split(parameters)
        s = self.opposing(parameters)
        fit = (c.unsqueeze(-1) * b - self.beta).square().sum(dim=-1)
        return 0.5 * fit + 0.5 * self.alpha * c**2 * s**2 + 0.5 * self.alpha

    def gradient(self, parameters: Float[Tensor, "... parameters"]) -> Float[Tensor, "... parameters"]:
        """∂b = c (c b − β), ∂o = α c² s 1/√k, ∂c = ⟨b, c b − β⟩ + α c s²."""
        b, _, c = self.split(parameters)
        s, c1 = self.opposing(parameters), c.unsqueeze(-1)
        error = c1 * b - self.beta
        along = self.alpha * c**2 * s / math.sqrt(self.k)
        in_c = (b * error).sum(dim=-1) + self.alpha * c * s**2
        return torch.cat([c1 * error, along.unsqueeze(-1).expand(*along.shape, self.k), in_c.unsqueeze(-1)], dim=-1)

    def hessian(self, parameters: Float[Tensor, "... parameters"]) -> Float[Tensor, "... parameters parameters"]:
        """Blocks bb: c² I; oo: α c² 1 1ᵀ/k; cc: |b|² + α s²; bc: 2 c b − β; oc: 2 α c s 1/√k; bo: 0."""
        b, _, c = self.split(parameters)
        s, d = self.opposing(parameters), len(self.beta)
        whole = parameters.new_zeros(*parameters.shape, parameters.shape[-1])
        c2 = (c**2)[..., None, None]
        whole[..., :d, :d] = c2 * torch.eye(d).to(parameters)
        whole[..., d:-1, d:-1] = self.alpha * c2 / self.k
        whole[..., -1, -1] = b.square().sum(dim=-1) + self.alpha * s**2
        cross = 2 * c.unsqueeze(-1) * b - self.beta
        whole[..., :d, -1] = whole[..., -1, :d] = cross
        pull = (2 * self.alpha * c * s / math.sqrt(self.k)).unsqueeze(-1).expand(*c.shape, self.k)
        whole[..., d:-1, -1] = whole[..., -1, d:-1] = pull
        return whole

    def sharpness(self, parameters: Float[Tensor, "... parameters"]) -> Float[Tensor, ...]:
        """Largest Hessian eigenvalue."""
        return torch.linalg.eigvalsh(self.hessian(parameters))[..., -1]

    def invariant(self, parameters: Float[Tensor, "... parameters"]) -> Float[Tensor, ...]:
        """Q = |b|² + |o|² − c²; gradient flow conserves it, gradient descent changes it by O(η²) a step."""
        b, o, c = self.split(parameters)
        return b.square().sum(dim=-1) + o.square().sum(dim=-1) - c**2

    def group_losses(self, parameters: Float[Tensor, "... parameters"]) -> Float[Tensor, "... 2"]:
        """½ |c b − β|² + (α/2p)(1 ∓ c s)²: expected loss of the samples with x_o positive, and negative."""
        b, _, c = self.split(parameters)
        fit = 0.5 * (c.unsqueeze(-1) * b - self.beta).square().sum(dim=-1)
        pull = c * self.opposing(parameters)
        return fit.unsqueeze(-1) + self.alpha / (2 * self.p) * torch.stack([(1 - pull) ** 2, (1 + pull) ** 2], dim=-1)

    def limit(self, parameters: Float[Tensor, " parameters"]) -> tuple[float, float]:
        """Where the flow ends: c∞² = (−Q' + √(Q'² + 4|β|²))/2, and the sharpness there.

        Q' leaves out what o has across the outliers' direction, which never moves. The sharpness is
        max(α c∞², c∞² + |β|²/c∞²), close to α |β|: a stronger signal makes a sharper valley.
        """
        b, _, c = self.split(parameters)
        q = float(b.square().sum() + self.opposing(parameters) ** 2 - c**2)
        power = float(self.beta.square().sum())
        # both forms are the positive root; the second does not cancel for large q
        root = math.sqrt(q * q + 4 * power)
        c2 = (root - q) / 2 if q <= 0 else 2 * power / (root + q)
        return c2, max(self.alpha * c2, c2 + power / c2)

    def simulate(self, start: Float[Tensor, " parameters"], eta: float, steps: int, every: int = 1) -> Trajectory:
        """Gradient descent with step η; the outlier weight obeys s ← s (1 − η α c²), so that it flips its sign at
        every step and grows once α c² > 2/η.

        Raises
        ------
        ValueError
            For η ≤ 0, fewer than one step, ``every`` below 1.
        """
        _check_walk(eta, steps, every)
        return self._walk(start, steps, every, lambda w: w - eta * self.gradient(w))

    def flow(self, start: Float[Tensor, " parameters"], dt: float, steps: int, every: int = 1) -> Trajectory:
        """Gradient flow by classical Runge–Kutta steps of length ``dt``; ``times`` are times."""
        _check_walk(dt, steps, every)

        def step(w: Tensor) -> Tensor:
            k1 = self.gradient(w)
            k2 = self.gradient(w - dt / 2 * k1)
            k3 = self.gradient(w - dt / 2 * k2)
            k4 = self.gradient(w - dt * k3)
            return w - dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

        path = self._walk(start, steps, every, step)
        return Trajectory(**{**path.__dict__, "times": path.times * dt})

    def sample(self, n: int, seed: int = 0) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n k"], Float[Tensor, " n"]]:
        """n samples (x_b, x_o, y).

        Raises
        ------
        ValueError
            For n below 1.
        """
        if n < 1:
            raise ValueError(f"n: got {n}; must be at least 1")
        generator = torch.Generator().manual_seed(seed)
        x_b = torch.randn(n, len(self.beta), generator=generator, dtype=torch.float64)
        draw = torch.rand(n, generator=generator, dtype=torch.float64)
        sign = (draw < self.p / 2).double() - ((draw >= self.p / 2) & (draw < self.p)).double()
        x_o = (sign * math.sqrt(self.alpha / (self.p * self.k))).unsqueeze(-1).expand(n, self.k)
        y = x_b @ self.beta.double() + x_o.sum(dim=-1).abs() / math.sqrt(self.k)
        return x_b.to(self.beta), x_o.to(self.beta), y.to(self.beta)

    def _walk(self, start: Tensor, steps: int, every: int, step: Callable[[Tensor], Tensor]) -> Trajectory:
        self.split(start)
        points, times, w = [start], [0], start
        for t in range(1, steps + 1):
            w = step(w)
            if t % every == 0 or t == steps:
                points.append(w)
                times.append(t)
                if not bool(torch.isfinite(w).all()):
                    break
        path = torch.stack(points)
        finite = torch.isfinite(self.hessian(path)).flatten(1).all(dim=1)
        sharpness = torch.full_like(path[:, 0], float("inf"))
        sharpness[finite] = self.sharpness(path[finite])
        return Trajectory(
            times=torch.tensor(times, dtype=path.dtype),
            parameters=path,
            loss=self.loss(path),
            sharpness=sharpness,
            opposing=self.opposing(path),
            group_losses=self.group_losses(path),
            invariant=self.invariant(path),
        )


def _check_walk(eta: float, steps: int, every: int) -> None:
    if not eta > 0 or steps < 1 or every < 1:
        raise ValueError(f"eta, steps, every: got {eta}, {steps}, {every}; must be eta > 0, steps ≥ 1, every ≥ 1")
