"""Transformer blocks with any of these connections, and stacks of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from surefoot.nn.mgt.connections import Erase, MGTConnection, NormConnection
from surefoot.nn.mgt.delta import Value
from surefoot.nn.mgt.gates import BetaMode
from surefoot.nn.mgt.hyper import HyperConnection, expand_streams, reduce_streams

Wiring = Literal["pre", "post", "gate", "delta", "mgt", "elementwise", "mhc", "hc"]
WIRINGS: tuple[Wiring, ...] = ("pre", "post", "gate", "delta", "mgt", "elementwise", "mhc", "hc")


class SelfAttention(nn.Module):
    """Multi-head attention without bias; weights start at N(0, 1/dim)."""

    def __init__(
        self, dim: int, heads: int, causal: bool = True, device: Any = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"heads: got {heads}; must divide the width {dim}")
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(dim, 3 * dim, bias=False, device=device, dtype=dtype)
        self.proj = nn.Linear(dim, dim, bias=False, device=device, dtype=dtype)
        _unit_variance(self.qkv, self.proj)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, causal={self.causal}"

    def forward(self, x: Float[Tensor, "*batch tokens dim"]) -> Float[Tensor, "*batch tokens dim"]:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(-3, -2) for part in self.qkv(x).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.proj(mixed.transpose(-3, -2).flatten(-2))


class MLP(nn.Sequential):
    """dim → 4 dim → GELU → dim; weights start at N(0, 1/fan_in), biases at 0."""

    def __init__(self, dim: int, device: Any = None, dtype: torch.dtype | None = None) -> None:
        first = nn.Linear(dim, 4 * dim, device=device, dtype=dtype)
        last = nn.Linear(4 * dim, dim, device=device, dtype=dtype)
        _unit_variance(first, last)
        super().__init__(first, nn.GELU(), last)


class TransformerBlock(nn.Module):
    """An attention and an MLP, each by a connection of its own.

    Parameters
    ----------
    dim, heads, causal : of the attention
    connections : two modules that are called as ``x = connection(x, branch)``

    Raises
    ------
    ValueError
        If the heads do not divide the width.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        connections: tuple[nn.Module, nn.Module],
        causal: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.attention = SelfAttention(dim, heads, causal, device, dtype)
        self.mlp = MLP(dim, device, dtype)
        self.around_attention, self.around_mlp = connections

    def forward(self, x: Tensor) -> Tensor:
        return self.around_mlp(self.around_attention(x, self.attention), self.mlp)


class MGTBlock(TransformerBlock):
    """A Transformer block in which both sublayers are gated and erase what they overwrite.

    Parameters
    ----------
    dim, heads, causal : of the attention
    erase, gate, beta_init, alpha, mode, value : of :class:`MGTConnection`

    Source: arXiv 2601.01014 (a proposal: its authors give no experiments).
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        erase: Erase | None = "rank1",
        gate: bool = True,
        causal: bool = True,
        beta_init: float = 0.2,
        alpha: float = 1.0,
        mode: BetaMode = "ddl",
        value: Value = "linear",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        def connection() -> nn.Module:
            return MGTConnection(dim, gate, erase, beta_init, alpha, mode, value, device, dtype)

        super().__init__(dim, heads, (connection(), connection()), causal, device, dtype)


class DeepStack(nn.Module):
    """``depth`` Transformer blocks, (..., tokens, dim) → (..., tokens, dim), in one of eight wirings.

    Parameters
    ----------
    depth : blocks, of two sublayers each
    wiring : ``"pre"``, ``"post"``: LayerNorm in the branch, or after the sum; ``"gate"``, ``"delta"``, ``"mgt"``: the
        gate alone, erasure of rank one alone, both; ``"elementwise"``: both, erasure as MGT writes it; ``"mhc"``,
        ``"hc"``: four streams, mixed by doubly stochastic or by free matrices
    dim, heads, causal : of the attention
    beta_init, alpha, value : of the wirings that erase, see :class:`MGTConnection`

    Raises
    ------
    ValueError
        For an unknown wiring, a depth below 1, heads that do not divide the width.
    """

    def __init__(
        self,
        depth: int,
        wiring: Wiring,
        dim: int = 64,
        heads: int = 4,
        causal: bool = True,
        beta_init: float = 0.2,
        alpha: float = 1.0,
        value: Value = "linear",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth: got {depth}; must be at least 1")
        if wiring not in WIRINGS:
            raise ValueError(f"wiring: got {wiring!r}; must be one of {', '.join(WIRINGS)}")
        self.wiring = wiring
        erasing = {"beta_init": beta_init, "alpha": alpha, "value": value}
        make = _connections(wiring, dim, erasing, {"device": device, "dtype": dtype})
        self.blocks = nn.ModuleList(
            TransformerBlock(dim, heads, (make(2 * i), make(2 * i + 1)), causal, device, dtype) for i in range(depth)
        )

    def extra_repr(self) -> str:
        return f"wiring={self.wiring!r}"

    def forward(self, x: Float[Tensor, "*batch tokens dim"]) -> Float[Tensor, "*batch tokens dim"]:
        streams = self.wiring in ("mhc", "hc")
        if streams:
            x = expand_streams(x)
        for block in self.blocks:
            x = block(x)
        return reduce_streams(x) if streams else x


def _connections(
    wiring: Wiring, dim: int, erasing: dict[str, Any], place: dict[str, Any]
) -> Callable[[int], nn.Module]:
    """Makes the connection of the i-th sublayer."""
    if wiring == "pre" or wiring == "post":
        return lambda i: NormConnection(dim, wiring, **place)
    if wiring == "mhc" or wiring == "hc":
        constraint: Literal["birkhoff", "none"] = "birkhoff" if wiring == "mhc" else "none"
        return lambda i: HyperConnection(dim, constraint=constraint, read_stream=i % 4, **place)
    erase: Erase | None = {"gate": None, "elementwise": "elementwise"}.get(wiring, "rank1")
    return lambda i: MGTConnection(dim, wiring != "delta", erase, **erasing, **place)


def _unit_variance(*layers: nn.Linear) -> None:
    """Outputs of the size of the inputs: N(0, 1/fan_in)."""
    for layer in layers:
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
