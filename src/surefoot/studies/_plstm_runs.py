"""What the pLSTM study trains and measures."""

from __future__ import annotations

import math
import time
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surefoot.nn.plstm import GridGates, PLSTMBlock, d_mode_gates, p_mode_gates, plstm_2d
from surefoot.nn.plstm.sequence import Method
from surefoot.studies.problems.arrows import symbolic_arrow_pointing

FORMS: tuple[Method, ...] = get_args(Method)  # the recurrent one first


def constant_gates(kind: str, decay: float = 1.0, dtype: torch.dtype = torch.float64) -> GridGates:
    """Gates that are equal everywhere: ``"free"``, ``"P"`` with even shares, or ``"D"``; sources and marks of 1."""
    one = torch.ones(1, dtype=dtype)
    if kind == "P":
        return p_mode_gates(one, one, one, one, 0.5 * one, decay * one)
    if kind == "D":
        return d_mode_gates(one, one, one, one, one, decay * one, decay * one, decay * one)
    kept = decay * one
    return GridGates(one, one, kept, kept, kept, kept, one, one, one)


def gain(gates: GridGates, side: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, float]:
    """G from the first corner to every node, and d h / d v from the first to the last by autograd."""
    one = torch.ones(1, side, side, 1, 1, dtype=dtype)
    first = torch.zeros_like(one)
    first[:, 0, 0] = 1
    first.requires_grad_()
    h = plstm_2d(one, one, first, gates, method="recurrent", scale=1.0)
    (slope,) = torch.autograd.grad(h[0, -1, -1, 0, 0], first)
    return h[0, :, :, 0, 0].detach(), float(slope[0, 0, 0, 0, 0])


class Pointing(nn.Module):
    """pLSTM blocks over cells of symbols, corner head, no position embedding."""

    def __init__(self, modes: str, dim: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.embed = nn.Linear(4, dim)
        self.blocks = nn.Sequential(*(PLSTMBlock(dim, heads, mode, gates="bias") for mode in modes))  # type: ignore[arg-type]
        self.norm = nn.RMSNorm(dim, eps=1e-5)
        self.head = nn.Linear(4 * dim, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.blocks(self.embed(x)))
        return self.head(torch.cat([x[:, i, j] for i in (0, -1) for j in (0, -1)], -1))


class PointingViT(nn.Module):
    """The transformer of the same size: a class token, and learnt positions that are resized to other grids."""

    def __init__(self, grid: int, dim: int = 32, heads: int = 4, blocks: int = 2) -> None:
        super().__init__()
        self.embed = nn.Linear(4, dim)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.position = nn.Parameter(0.4 * torch.randn(1, dim, grid, grid))
        layer = nn.TransformerEncoderLayer(
            dim, heads, 4 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, blocks, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 2)

    def forward(self, x: Tensor) -> Tensor:
        place: Tensor = self.position
        if place.shape[2:] != x.shape[1:3]:
            place = F.interpolate(place, x.shape[1:3], mode="bicubic", align_corners=False)
        tokens = (self.embed(x) + place.permute(0, 2, 3, 1)).flatten(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1)
        return self.head(self.norm(self.blocks(tokens)[:, 0]))


def train_pointing(arm: str, steps: int, lr: float, seed: int, grid: int = 8, tests: int = 1024) -> dict[int, float]:
    """Train on fresh samples of one size, and give the accuracy on that size, 1.5 and 2 times as large."""
    torch.manual_seed(seed)
    model = PointingViT(grid) if arm == "vit" else Pointing(arm)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    for step in range(steps):
        x, y = symbolic_arrow_pointing(64, grid, seed * 1_000_003 + step)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    found = {}
    with torch.no_grad():
        for size in (grid, grid * 3 // 2, grid * 2):
            x, y = symbolic_arrow_pointing(tests, size, 2_000_000_011 + seed)
            guessed = torch.cat([model(part).argmax(1) for part in x.split(64)])  # scores of 256 × 256 places each
            found[size] = float((guessed == y).double().mean())
    return found


def compare_forms(side: int, seed: int, rounds: int = 3) -> dict[str, float]:
    """Largest difference of the other forms from the recurrent one; of each form milliseconds of a forward, and its
    depth: how many operations wait for each other, whatever the machine."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    place = (2, side, side, 2)
    q, k, v = (normal(*place, 8) for _ in range(3))
    gates = p_mode_gates(*(normal(*place).sigmoid().requires_grad_() for _ in range(6)))
    found: dict[str, float] = {}
    outs = []
    for method in FORMS:
        best = math.inf
        for _ in range(rounds):
            begin = time.perf_counter()
            with torch.no_grad():
                plstm_2d(q, k, v, gates, method=method)
            best = min(best, time.perf_counter() - begin)
        out = plstm_2d(q, k, v, gates, method=method)
        found |= {f"ms_{method}": 1e3 * best, f"depth_{method}": float(graph_depth(out))}
        outs.append(out.detach())
    found["difference"] = max(float((out - outs[0]).abs().max()) for out in outs[1:])
    return found


def graph_depth(out: Tensor) -> int:
    """Longest chain of operations that made a tensor, from its autograd graph."""
    depth: dict[Any, int] = {}
    waiting = [out.grad_fn]
    while waiting:
        node = waiting[-1]
        before = [function for function, _ in node.next_functions if function is not None] if node else []
        unknown = [function for function in before if function not in depth]
        if unknown:
            waiting += unknown
        else:
            depth[node] = 1 + max((depth[function] for function in before), default=0)
            waiting.pop()
    return depth[out.grad_fn]
