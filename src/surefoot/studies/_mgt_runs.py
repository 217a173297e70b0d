"""What the MGT study measures: rank at the start, a character model, products of mixing matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surefoot.analysis.rank_profile import RankProfile, rank_profile
from surefoot.nn.mgt import DeepStack, Wiring, composite_gain, sinkhorn_knopp
from surefoot.studies.problems.topics_text import excerpts

# name → wiring and its options; β of 1 and values of 4σ(·) are the delta paper's code
AT_START: dict[str, tuple[Wiring, dict[str, Any]]] = {
    "post": ("post", {}),
    "pre": ("pre", {}),
    "gate": ("gate", {}),
    "delta": ("delta", {"beta_init": 1.0, "value": "sigmoid4"}),
    "delta_small": ("delta", {"beta_init": 0.1, "value": "sigmoid4"}),
    "both": ("mgt", {"beta_init": 1.0, "value": "sigmoid4"}),
    "both_linear": ("mgt", {"beta_init": 1.0}),
    "elementwise": ("elementwise", {"beta_init": 1.0}),
    "elementwise_small": ("elementwise", {"beta_init": 0.02}),
    "mhc": ("mhc", {}),
}
TRAINED: dict[str, tuple[Wiring, dict[str, Any]]] = {
    "pre": ("pre", {}),
    "pre_wide": ("pre", {"dim": 36}),
    "gate": ("gate", {}),
    "delta": ("delta", {"beta_init": 0.2}),
    "both": ("mgt", {"beta_init": 0.2}),
    "elementwise": ("elementwise", {"beta_init": 1.0}),
}


@dataclass(frozen=True)
class Start:
    """Of a stack at its start: rank over depth, singular values at the end, ‖Jᵀu‖/‖u‖ from output to input."""

    profile: RankProfile
    spectrum: np.ndarray
    gradient: float


def at_start(name: str, depth: int, seed: int, dim: int = 64, tokens: int = 32) -> Start:
    """A stack of fresh weights on one sequence of random tokens that all see each other."""
    wiring, options = AT_START[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stack = DeepStack(depth, wiring, dim, 4, causal=False, **options)
        x, u = torch.randn(1, tokens, dim, requires_grad=True), torch.randn(1, tokens, dim)
    out = stack(x)
    (gradient,) = torch.autograd.grad(out, x, u)
    values = torch.linalg.svdvals(out.detach()[0]).double().numpy()
    return Start(rank_profile(stack, x.detach()), values / values.sum(), float(gradient.norm() / u.norm()))


class CharModel(nn.Module):
    """Characters and positions → stack → norm → logits."""

    def __init__(self, kinds: int, tokens: int, depth: int, wiring: Wiring, dim: int = 32, **options: Any) -> None:
        super().__init__()
        self.characters, self.positions = nn.Embedding(kinds, dim), nn.Embedding(tokens, dim)
        self.stack = DeepStack(depth, wiring, dim, 2, **options)
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, kinds)

    def forward(self, x: Tensor) -> Tensor:
        x = self.characters(x) + self.positions.weight[: x.shape[1]]
        logits: Tensor = self.head(self.norm(self.stack(x)))
        return logits


@dataclass(frozen=True)
class Trained:
    """Training losses, validation loss, rank over depth on validation text, and the parameters there are."""

    losses: tuple[float, ...]
    validation: float
    profile: RankProfile
    parameters: int


def train(name: str, text: tuple[Tensor, Tensor, int], seed: int, depth: int, steps: int, tokens: int = 32) -> Trained:
    """A character model by AdamW at 3e-3 with a cosine to 0 and gradients clipped to 1, eight rows a step."""
    generator = torch.Generator().manual_seed(seed)
    wiring, options = TRAINED[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CharModel(text[2], tokens, depth, wiring, **options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    for _ in range(steps):
        x, y = excerpts(text[0], 8, tokens, generator)
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    x, y = excerpts(text[1], 128, tokens, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        validation = F.cross_entropy(model(x).flatten(0, 1), y.flatten()).item()
    layers = [f"stack.blocks.{i}" for i in range(depth)]
    profile = rank_profile(model, x[:8], layers)
    return Trained(tuple(losses), validation, profile, sum(p.numel() for p in model.parameters()))


def products(seed: int, depth: int = 64, n: int = 4) -> dict[str, np.ndarray]:
    """Of products of random mixings over depth: row gain, column gain, and the distance of streams from their mean.

    ``free``: I + 0.3 N(0, 1); ``sinkhorn_k``: N(0, 1) as logits, after k iterations; ``sinkhorn_start``: 4 I + N(0, 1)
    as logits, near where hyper-connections start, after 20.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(depth, n, n, dtype=torch.float64, generator=generator)
    eye = torch.eye(n, dtype=torch.float64)
    kinds = {"free": eye + 0.3 * noise} | {f"sinkhorn_{k}": sinkhorn_knopp(noise, k) for k in (1, 5, 20)}
    kinds["sinkhorn_start"] = sinkhorn_knopp(4 * eye + noise, 20)
    found = {}
    for name, mixings in kinds.items():
        product, rows = eye, []
        for mixing in mixings:
            product = mixing @ product
            rows.append((*composite_gain(product[None]), float((product - 1 / n).abs().max())))
        found[name] = np.array(rows).T
    return found
