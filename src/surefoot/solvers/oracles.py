"""Convex and nonlinear problems with values, gradients, Hessians and the approximations of them that the method takes.

Semenov, Jaggi, Doikov, arXiv 2506.13710, section 4: each approximation keeps the rate of the exact Hessian on its
problem. All take and give float64 vectors.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from surefoot.solvers.shifted import LowRank

Vector = Float[Tensor, " d"]
Matrix = Float[Tensor, "d d"]


class LogSumExp:
    """f(x) = μ log Σ exp((aᵢᵀx − bᵢ)/μ) for the rows aᵢ of A; its natural metric is AᵀA."""

    def __init__(self, a: Float[Tensor, "n d"], b: Float[Tensor, " n"], mu: float = 1.0) -> None:
        if not mu > 0:
            raise ValueError(f"mu: got {mu}; must be positive")
        if a.dim() != 2 or b.shape != (len(a),):
            raise ValueError(f"a, b: got shapes {tuple(a.shape)} and {tuple(b.shape)}; must be (n, d) and (n,)")
        self._a, self._b, self._mu = a, b, mu

    def _weights(self, x: Vector) -> Tensor:
        return torch.softmax((self._a @ x - self._b) / self._mu, dim=0)

    def f(self, x: Vector) -> Float[Tensor, ""]:
        """The value."""
        return self._mu * torch.logsumexp((self._a @ x - self._b) / self._mu, dim=0)

    def grad(self, x: Vector) -> Vector:
        """Aᵀπ, π = softmax((Ax − b)/μ)."""
        return self._a.T @ self._weights(x)

    def weighted_gn(self, x: Vector) -> Matrix:
        """Aᵀ diag(π) A / μ: the Hessian plus g gᵀ/μ."""
        return self._a.T @ (self._weights(x)[:, None] * self._a) / self._mu

    def hess(self, x: Vector) -> Matrix:
        """The exact Hessian."""
        g = self.grad(x)
        return self.weighted_gn(x) - torch.outer(g, g) / self._mu


class PowerResidual:
    """f(x) = ‖u(x)‖^p / p for residuals u and p ≥ 2.

    Parameters
    ----------
    u : x → residuals
    p : the power
    linear : u is affine, so that its own curvature need not be computed
    """

    def __init__(self, u: Callable[[Vector], Float[Tensor, " n"]], p: float, linear: bool = False) -> None:
        if not p >= 2:
            raise ValueError(f"p: got {p}; must be at least 2")
        self._u, self._p, self._linear = u, p, linear
        self._jacobian = torch.func.jacrev(u)

    def f(self, x: Vector) -> Float[Tensor, ""]:
        """The value."""
        return torch.linalg.vector_norm(self._u(x)) ** self._p / self._p

    def grad(self, x: Vector) -> Vector:
        """‖u‖^(p−2) Jᵀu."""
        u = self._u(x)
        return torch.linalg.vector_norm(u) ** (self._p - 2) * (self._jacobian(x).T @ u)

    def fisher(self, x: Vector) -> LowRank:
        """(p − 2) ‖u‖^(p−2) (Jᵀû)(Jᵀû)ᵀ: rank one, and enough in the metric JᵀJ of linear residuals."""
        u = self._u(x)
        size = torch.linalg.vector_norm(u)
        # as û, since ‖u‖^(p−4) is singular at u = 0 for p < 4
        unit = u / size.clamp_min(torch.finfo(u.dtype).tiny)
        return LowRank((((self._p - 2) * size ** (self._p - 2)) ** 0.5 * (self._jacobian(x).T @ unit))[:, None])

    def inexact(self, x: Vector) -> Matrix:
        """The Hessian without the residuals' own curvature."""
        jacobian = self._jacobian(x)
        size = torch.linalg.vector_norm(self._u(x))
        factor = self.fisher(x).factor
        return size ** (self._p - 2) * (jacobian.T @ jacobian) + factor @ factor.T

    def hess(self, x: Vector) -> Matrix:
        """The exact Hessian."""
        if self._linear:
            return self.inexact(x)
        u = self._u(x).detach()
        curved = torch.func.hessian(lambda y: u @ self._u(y))(x)
        return self.inexact(x) + torch.linalg.vector_norm(u) ** (self._p - 2) * curved


class LogisticRegression:
    """f(x) = (1/n) Σ log(1 + exp(−yᵢ aᵢᵀx)) + (l2/2)‖x‖² for labels ±1."""

    def __init__(self, a: Float[Tensor, "n d"], y: Tensor, l2: float = 0.0) -> None:
        if a.dim() != 2 or y.shape != (len(a),):
            raise ValueError(f"a, y: got shapes {tuple(a.shape)} and {tuple(y.shape)}; must be (n, d) and (n,)")
        if not bool((y.abs() == 1).all()):
            raise ValueError(f"y: holds {sorted(set(y.tolist()))[:4]}; labels must be −1 and 1")
        if not l2 >= 0:
            raise ValueError(f"l2: got {l2}; must be at least 0")
        self._rows, self._l2 = y.to(a)[:, None] * a, l2

    def _chances(self, x: Vector) -> Tensor:
        """σ(−mᵢ), of the wrong label."""
        return torch.sigmoid(-(self._rows @ x))

    def f(self, x: Vector) -> Float[Tensor, ""]:
        """The value."""
        margins = self._rows @ x
        return torch.nn.functional.softplus(-margins).mean() + self._l2 / 2 * (x @ x)

    def grad(self, x: Vector) -> Vector:
        """The gradient."""
        return -(self._rows.T @ self._chances(x)) / len(self._rows) + self._l2 * x

    def _weighted(self, weights: Tensor) -> Matrix:
        matrix = self._rows.T @ (weights[:, None] * self._rows) / len(self._rows)
        matrix.diagonal().add_(self._l2)
        return matrix

    def hess(self, x: Vector) -> Matrix:
        """Weights q(1 − q) on the rows."""
        q = self._chances(x)
        return self._weighted(q * (1 - q))

    def fisher(self, x: Vector) -> Matrix:
        """Weights q²: the mean of the samples' squared gradients; near the Hessian only where the data are fitted."""
        return self._weighted(self._chances(x).square())


class SoftmaxRegression:
    """Mean cross-entropy of a linear classifier of ``classes``, x its weights row by row, plus (l2/2)‖x‖²."""

    def __init__(self, a: Float[Tensor, "n d"], y: Int[Tensor, " n"], classes: int, l2: float = 0.0) -> None:
        if a.dim() != 2 or y.shape != (len(a),):
            raise ValueError(f"a, y: got shapes {tuple(a.shape)} and {tuple(y.shape)}; must be (n, d) and (n,)")
        if classes < 2 or int(y.min()) < 0 or int(y.max()) >= classes:
            raise ValueError(f"y: holds {int(y.min())} … {int(y.max())}; labels must be in 0 … {classes - 1}")
        if not l2 >= 0:
            raise ValueError(f"l2: got {l2}; must be at least 0")
        self._a, self._y, self._k, self._l2 = a, y, classes, l2

    def _logits(self, x: Tensor) -> Tensor:
        return self._a @ x.reshape(self._k, -1).T

    def _errors(self, x: Tensor) -> Tensor:
        """p − e_y, a row a sample."""
        errors = torch.softmax(self._logits(x), dim=1)
        return errors - torch.nn.functional.one_hot(self._y, self._k).to(errors)

    def f(self, x: Float[Tensor, " kd"]) -> Float[Tensor, ""]:
        """The value."""
        return torch.nn.functional.cross_entropy(self._logits(x), self._y) + self._l2 / 2 * (x @ x)

    def grad(self, x: Float[Tensor, " kd"]) -> Float[Tensor, " kd"]:
        """The gradient."""
        return (self._errors(x).T @ self._a / len(self._a)).reshape(-1) + self._l2 * x

    def hess(self, x: Float[Tensor, " kd"]) -> Float[Tensor, "kd kd"]:
        """(1/n) Σ (diag p − p pᵀ) ⊗ a aᵀ."""
        p = torch.softmax(self._logits(x), dim=1)
        middle = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        return self._kronecker(middle)

    def fisher(self, x: Float[Tensor, " kd"]) -> Float[Tensor, "kd kd"]:
        """(1/n) Σ (p − e_y)(p − e_y)ᵀ ⊗ a aᵀ."""
        errors = self._errors(x)
        return self._kronecker(errors[:, :, None] * errors[:, None, :])

    def _kronecker(self, middle: Tensor) -> Tensor:
        d = self._a.shape[1]
        blocks = torch.stack(
            [
                self._a.T @ (middle[:, i, j, None] * self._a) / len(self._a)
                for i in range(self._k)
                for j in range(self._k)
            ]
        ).reshape(self._k, self._k, d, d)
        matrix = blocks.permute(0, 2, 1, 3).reshape(self._k * d, self._k * d)
        matrix.diagonal().add_(self._l2)
        return matrix
