"""Deep delta learning: a residual connection that reads, compares and writes along one direction.

x' = x + β k (vᵀ − kᵀx): what the state holds along the unit vector k moves towards v by a share β; the rest stays. With
v = 0 it is x' = (I − β k kᵀ) x: the identity at β = 0, a projection at 1, a reflection at 2.

Source: "Deep Delta Learning", arXiv 2601.00417.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.nn.mgt.gates import BetaGate

Value = Literal["linear", "sigmoid4"]


def delta_update(
    X: Float[Tensor, "*batch dim values"],
    k: Float[Tensor, "*batch dim"],
    v: Float[Tensor, "*batch values"],
    beta: Float[Tensor, "*batch 1"],
) -> Float[Tensor, "*batch dim values"]:
    """X + β k (vᵀ − kᵀX), without forming I − β k kᵀ: O(dim · values) a token.

    Parameters
    ----------
    X : the state, ``values`` columns of width ``dim``
    k : the direction; with unit length the error e = kᵀX − vᵀ becomes (1 − β) e
    v : what is to be written
    beta : how much of it, between 0 and 2

    Notes
    -----
    The backward needs X, k, β and the error; with G = ∂L/∂X' and r = Gᵀk: ∂L/∂X = G − β k rᵀ, ∂L/∂v = β r,
    ∂L/∂β = r·(v − Xᵀk), ∂L/∂k = β [G (v − Xᵀk) − X r].

    Source: arXiv 2601.00417, update equation and its gradients.
    """
    updated: Tensor = _Delta.apply(X, k, v, beta)[0]
    return updated


class _Delta(torch.autograd.Function):
    """The error is an output of its own, so that it may be kept and still be differentiated twice."""

    generate_vmap_rule = True

    @staticmethod
    def forward(X: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
        error = v - _read(X, k)
        return _write(X, k, beta * error), error

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        X, k, _, beta = inputs
        ctx.save_for_backward(X, k, beta, output[1])
        ctx.save_for_forward(X, k, beta, output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, G: Tensor | None, of_error: Tensor | None) -> tuple[Tensor | None, ...]:
        X, k, beta, error = ctx.saved_tensors
        if G is None:
            if of_error is None:
                return None, None, None, None
            G = torch.zeros_like(X)
        r = _read(G, k)
        q = beta * r if of_error is None else beta * r + of_error  # what reaches v
        dX, dk = _write(G, k, -q), _mix(G, beta * error) - _mix(X, q)
        return dX, dk, q, (r * error).sum(-1, keepdim=True)

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor, Tensor]:
        X, k, beta, error = ctx.saved_tensors
        like = (X, k, error, beta)
        dX, dk, dv, dbeta = (torch.zeros_like(x) if t is None else t for t, x in zip(tangents, like, strict=True))
        derror = dv - _read(dX, k) - _read(X, dk)
        moved = _write(_write(dX, dk, beta * error), k, dbeta * error + beta * derror)
        return moved, derror


def _read(X: Tensor, k: Tensor) -> Tensor:
    """Xᵀ k"""
    return (X * k.unsqueeze(-1)).sum(-2)


def _write(X: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """X + k vᵀ"""
    return torch.addcmul(X, k.unsqueeze(-1), v.unsqueeze(-2))


def _mix(X: Tensor, v: Tensor) -> Tensor:
    """X v"""
    products = X * v.unsqueeze(-2)
    return products.squeeze(-1) if X.shape[-1] == 1 else products.sum(-1)


class DeltaResidual(nn.Module):
    """The residual connection of deep delta learning, in place of ``x + h``.

    ``x = delta(x, branch(context), context)`` with ``context = norm(x)``: the branch's output gives the direction, the
    context the value to write and how much.

    Parameters
    ----------
    dim : width of the stream
    value_dim : columns of the state; with more than one the stream is (..., dim, value_dim): start it by
        :meth:`expand`, and give branches and the network's end :meth:`read`
    beta_init : β at the start; 0 cannot be learnt away from
    beta_range : β lies between 0 and this; above 1 the direction can be reflected
    value : ``"linear"``: W c; ``"sigmoid4"``: 4 σ(W c + b), between 0 and 4, as the authors' code has it by default
    eps : of k = h / √(‖h‖² + eps²): an output of zero has no direction, and writes nothing. Do not start a branch's
        last layer at zero

    Raises
    ------
    ValueError
        For a width below 1, an unknown value, a β outside its range.

    Source: arXiv 2601.00417. The gate is linear; its logits are computed in float32.
    """

    def __init__(
        self,
        dim: int,
        value_dim: int = 1,
        beta_init: float = 1.0,
        beta_range: float = 2.0,
        value: Value = "linear",
        eps: float = 1e-5,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("dim", dim), ("value_dim", value_dim)):
            if size < 1:
                raise ValueError(f"{name}: got {size}; must be at least 1")
        if value not in ("linear", "sigmoid4"):
            raise ValueError(f"value: got {value!r}; must be 'linear' or 'sigmoid4'")
        self.dim, self.value_dim, self.eps, self._squash = dim, value_dim, eps, value == "sigmoid4"
        self.beta = BetaGate(dim, beta_init, beta_range, device=device, dtype=dtype)
        self.value = nn.Linear(dim, value_dim, bias=self._squash, device=device, dtype=dtype)
        nn.init.normal_(self.value.weight, std=dim**-0.5)
        if value_dim > 1:
            self.weights = nn.Parameter(torch.full((value_dim,), 1 / value_dim, device=device, dtype=dtype))

    def extra_repr(self) -> str:
        return f"{self.dim}, value_dim={self.value_dim}, eps={self.eps}"

    def expand(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim values"]:
        """The state that a stack starts from: the embedding, repeated in every column."""
        return x.unsqueeze(-1).repeat_interleave(self.value_dim, -1)

    def read(self, x: Tensor) -> Float[Tensor, "*batch dim"]:
        """The stream as branches see it: a learnt mean over the columns; itself where there is one only."""
        return x if self.value_dim == 1 else x @ self.weights

    def forward(self, x: Tensor, h: Float[Tensor, "*batch dim"], context: Float[Tensor, "*batch dim"]) -> Tensor:
        k = h * (h.square().sum(-1, keepdim=True) + self.eps**2).rsqrt()
        v = self.value(context)
        if self._squash:
            v = 4 * v.sigmoid()
        state = x.unsqueeze(-1) if self.value_dim == 1 else x
        updated = delta_update(state, k, v, self.beta(context))
        return updated.squeeze(-1) if self.value_dim == 1 else updated
