"""A small decoder-only Transformer as Wortsman et al. 2024 have it, with switches for what they change.

Pre-LayerNorm, no biases, rotary positions, an untied head, an MLP of 4d with GELU, weights from a truncated normal with
standard deviation 1/√fan_in, embeddings from N(0, 1/d). Source: arXiv 2309.14322, §2.1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from surefoot.nn import QKNorm

EPS = 1e-6  # of every LayerNorm


class TinyDecoder(nn.Module):
    """Logits of the next token.

    Parameters
    ----------
    vocab, d, layers, heads
        Kinds of tokens, width, blocks, and heads, which divide the width into even parts.
    qk_norm
        ``"layernorm"``, ``"rms"`` or None.
    kappa
        In place of ``qk_norm``: queries and keys with a mean square of exactly κ, whatever the weights (the paper's
        transplant, which shows what logits of a size do to training).
    attention_power
        Logits are ⟨q, k⟩/d_hᵖ; see :func:`surefoot.optim.mu_groups`.
    seed
        Of the weights; the global generator is left alone.
    """

    def __init__(
        self,
        vocab: int,
        d: int,
        layers: int,
        heads: int,
        *,
        qk_norm: Literal["layernorm", "rms"] | None = None,
        kappa: float | None = None,
        attention_power: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if d % heads or (d // heads) % 2:
            raise ValueError(f"d, heads: {d} in {heads} heads; each head needs an even width")
        if kappa is not None and (qk_norm is not None or kappa <= 0):
            raise ValueError(f"kappa: got {kappa} with qk_norm={qk_norm!r}; it is positive and takes its place")
        with torch.random.fork_rng(devices=[]):  # torch's own first weights, which are overwritten, draw from it
            self.embedding = nn.Embedding(vocab, d)
            self.blocks = nn.ModuleList(Block(d, heads, qk_norm, kappa, attention_power) for _ in range(layers))
            self.norm = nn.LayerNorm(d, EPS, bias=False)
            self.head = nn.Linear(d, vocab, bias=False)
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                std = module.in_features**-0.5
                nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
        nn.init.normal_(self.embedding.weight, std=d**-0.5, generator=generator)

    @property
    def size(self) -> int:
        """Parameters of the blocks' matrices, 12 · layers · d²: without embedding, head and gains."""
        return sum(p.numel() for p in self.blocks.parameters() if p.dim() == 2)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocab"]:
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    @torch.no_grad()
    def first_attention(
        self, tokens: Int[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, "batch heads length width"], Float[Tensor, "batch heads length width"]]:
        """Queries and keys of the first block, scaled so that their product is the logit."""
        first = self.blocks[0]
        assert isinstance(first, Block)
        q, k, _ = first.queries_keys_values(first.norm1(self.embedding(tokens)))
        return q * first.scale, k


class Block(nn.Module):
    """Attention and MLP, each added to its input behind a LayerNorm."""

    def __init__(
        self,
        d: int,
        heads: int,
        qk_norm: Literal["layernorm", "rms"] | None,
        kappa: float | None,
        attention_power: float,
    ) -> None:
        super().__init__()
        self.heads, self.kappa, self.scale = heads, kappa, (d // heads) ** -attention_power
        self.norm1, self.norm2 = nn.LayerNorm(d, EPS, bias=False), nn.LayerNorm(d, EPS, bias=False)
        self.qkv, self.out = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.fc1, self.fc2 = nn.Linear(d, 4 * d, bias=False), nn.Linear(4 * d, d, bias=False)
        self.qk_norm = None if qk_norm is None else QKNorm(d // heads, qk_norm, eps=EPS)

    def queries_keys_values(self, x: Float[Tensor, "batch length d"]) -> tuple[Tensor, Tensor, Tensor]:
        """By head, with positions; normalised as the model has it."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if self.qk_norm is not None:
            q, k = self.qk_norm(q, k)
        elif self.kappa is not None:
            q, k = of_mean_square(q, self.kappa), of_mean_square(k, self.kappa)
        return rotary(q), rotary(k), v

    def forward(self, x: Float[Tensor, "batch length d"]) -> Float[Tensor, "batch length d"]:
        q, k, v = self.queries_keys_values(self.norm1(x))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=self.scale)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


def of_mean_square(z: Float[Tensor, "*batch width"], kappa: float) -> Float[Tensor, "*batch width"]:
    """√κ · z / rms(z): a logit of two such vectors is at most κ√width."""
    return kappa**0.5 * F.rms_norm(z, z.shape[-1:], eps=EPS)


def rotary(x: Float[Tensor, "*batch length width"], base: float = 1e4) -> Float[Tensor, "*batch length width"]:
    """Turns pair i of position t by the angle t · base^(−2i/width): products depend on distances; lengths stay."""
    cos, sin = _turns(x.shape[-2], x.shape[-1] // 2, base, x.device, x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


@lru_cache(maxsize=8)
def _turns(length: int, half: int, base: float, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each position's angles; the same in every block and step."""
    rates = base ** (-torch.arange(half, device=device, dtype=torch.float32) / half)
    angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * rates
    return angles.cos().to(dtype), angles.sin().to(dtype)
