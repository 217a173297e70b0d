"""Gates of MGT: how much a sublayer writes, which of its directions, and how much of the stream it lets fade.

Source: "Geometric and Dynamic Scaling in Deep Transformers" (MGT), arXiv 2601.01014; "Deep Delta Learning",
arXiv 2601.00417, for β.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

BetaMode = Literal["ddl", "signed"]
_CLAMP = 1e-6


def wide_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b in float32, or float64 if that is what x is; under autocast too."""
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    kind = x.device.type
    off = torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()
    with off:
        return F.linear(x.to(wide), weight.to(wide), None if bias is None else bias.to(wide))


class BetaGate(nn.Module):
    """β of each token from its context; ``beta_init`` for every token at the start.

    Parameters
    ----------
    dim : width of the context
    beta_init : β at the start, inside the range
    beta_range : largest β
    mode : ``"ddl"``: beta_range · σ(w c + b), between 0 and it, never learnt away from 0 if it starts there;
        ``"signed"``: beta_range · tanh(w c + b) (reconstructed: MGT says that β may be signed)

    Raises
    ------
    ValueError
        For a range that is not positive, an unknown mode, a start outside the range.

    Source: arXiv 2601.00417; logits in float32 as there.
    """

    def __init__(
        self,
        dim: int,
        beta_init: float = 1.0,
        beta_range: float = 2.0,
        mode: BetaMode = "ddl",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not beta_range > 0:
            raise ValueError(f"beta_range: got {beta_range}; must be positive")
        if mode not in ("ddl", "signed"):
            raise ValueError(f"mode: got {mode!r}; must be 'ddl' or 'signed'")
        least = 0.0 if mode == "ddl" else -beta_range
        if not least <= beta_init <= beta_range:
            raise ValueError(f"beta_init: got {beta_init}; must be between {least:g} and beta_range {beta_range:g}")
        self.beta_init, self.beta_range, self.mode = beta_init, beta_range, mode
        share = beta_init / beta_range
        if mode == "ddl":
            share = min(max(share, _CLAMP), 1 - _CLAMP)
            start = math.log(share / (1 - share))
        else:
            start = math.atanh(min(max(share, _CLAMP - 1), 1 - _CLAMP))
        self.weight = nn.Parameter(torch.zeros(1, dim, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.full((1,), start, device=device, dtype=dtype))

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, beta_init={self.beta_init}, beta_range={self.beta_range}, mode={self.mode!r}"

    def forward(self, context: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch 1"]:
        logits = wide_linear(context, self.weight, self.bias)
        gate = logits.sigmoid() if self.mode == "ddl" else logits.tanh()
        return (self.beta_range * gate).to(context.dtype)


class TangentGate(nn.Module):
    """v · σ(LayerNorm(W x)): which coordinates of a sublayer's output may enter the stream.

    A soft mask, elementwise. MGT writes of a projection on a tangent space; this stands in for one and is none. At the
    start it is σ of a standard normal, one half on average.

    Parameters
    ----------
    dim : width of the stream

    Source: arXiv 2601.01014, first stage (there called mHC, which is not DeepSeek's).
    """

    def __init__(self, dim: int, device: Any = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim, bias=False, device=device, dtype=dtype)
        nn.init.normal_(self.linear.weight, std=dim**-0.5)
        self.norm = nn.LayerNorm(dim, device=device, dtype=dtype)

    def forward(self, v: Float[Tensor, "*batch dim"], x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        return v * self.norm(self.linear(x)).sigmoid()


class LeakyErase(nn.Module):
    """x + β (v − α x): MGT's update as it is written, where the projection of x on itself is x.

    An elementwise leak and no reflection: what came in is multiplied by Π (1 − α β) over depth. With N sublayers keep
    N · α · β at most about 1; α = β = 1 forgets the input in one layer. For 0 ≤ α β ≤ 1 the largest entry never
    exceeds max(|x|, |v| / α), however deep.

    Parameters
    ----------
    dim : width of the stream
    alpha : learnable, at the start
    beta_init : β at the start
    mode : of :class:`BetaGate`

    Source: arXiv 2601.01014, second stage.
    """

    def __init__(
        self,
        dim: int,
        alpha: float = 1.0,
        beta_init: float = 1.0,
        mode: BetaMode = "ddl",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.beta = BetaGate(dim, beta_init, mode=mode, device=device, dtype=dtype)
        self.alpha = nn.Parameter(torch.tensor(float(alpha), device=device, dtype=dtype))

    def forward(
        self, x: Float[Tensor, "*batch dim"], v: Float[Tensor, "*batch dim"], context: Float[Tensor, "*batch dim"]
    ) -> Float[Tensor, "*batch dim"]:
        return torch.addcmul(x, self.beta(context), v - self.alpha * x)


class DirectionErase(LeakyErase):
    """x + β (v − α (kᵀx) k) with k = v/‖v‖: erase along the direction that is written, and write the whole of v.

    Parameters are those of :class:`LeakyErase`; ``eps`` guards k where v is zero.

    Source: arXiv 2601.01014, the operator I − β k kᵀ that it quotes, with v itself as what is written.
    """

    def __init__(
        self,
        dim: int,
        alpha: float = 1.0,
        beta_init: float = 1.0,
        mode: BetaMode = "ddl",
        eps: float = 1e-5,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(dim, alpha, beta_init, mode, device, dtype)
        self.eps = eps

    def forward(
        self, x: Float[Tensor, "*batch dim"], v: Float[Tensor, "*batch dim"], context: Float[Tensor, "*batch dim"]
    ) -> Float[Tensor, "*batch dim"]:
        # (kᵀx) k = v (v·x) / ‖v‖²
        held = (v * x).sum(-1, keepdim=True) / (v.square().sum(-1, keepdim=True) + self.eps**2)
        return torch.addcmul(x, self.beta(context) * (1 - self.alpha * held), v)
