"""Small training loops of many kinds, as a user would write them; they know nothing of surefoot."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@dataclass
class Trained:
    losses: list[float]
    weights: list[Tensor]
    buffers: list[Tensor]
    random_state: tuple

    def same_as(self, other: Trained) -> bool:
        """Bit for bit: losses, weights, buffers and every random generator."""
        return (
            np.array_equal(np.array(self.losses), np.array(other.losses), equal_nan=True)
            and all(torch.equal(a, b) for a, b in zip(self.weights, other.weights, strict=True))
            and all(torch.equal(a, b) for a, b in zip(self.buffers, other.buffers, strict=True))
            and torch.equal(self.random_state[0], other.random_state[0])
            and self.random_state[1] == other.random_state[1]
            and all(np.array_equal(a, b) for a, b in zip(self.random_state[2], other.random_state[2], strict=True))
        )


class LSTMClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(17, 12)
        self.lstm = nn.LSTM(12, 24, num_layers=2, batch_first=True, dropout=0.1)
        self.head = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(self.embed(x))[0][:, -1])


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=0.1 if self.training else 0.0)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.fc2(F.relu(self.fc1(self.norm2(x))))


class Decoder(nn.Module):
    def __init__(self, checkpointing: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(17, 32)
        self.blocks = nn.ModuleList(Block(32, 4) for _ in range(3))
        self.head = nn.Linear(32, 17, bias=False)
        self.checkpointing = checkpointing

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.checkpointing else block(x)
        return self.head(x)


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 5))


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 16, 3),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 5),
    )


def _features(batch: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(batch, 20)
    return x, x[:, :5].argmax(1)


def _images(batch: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(batch, 1, 8, 8)
    return x, (x.mean((1, 2, 3)) * 20).long().clamp(-2, 2) + 2


def _tokens(batch: int) -> tuple[Tensor, Tensor]:
    x = torch.randint(17, (batch, 12))
    return x, x.roll(1, 1)


def _sequences(batch: int) -> tuple[Tensor, Tensor]:
    x = torch.randint(17, (batch, 12))
    return x, x.sum(1) % 5


LOOPS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], tuple[Tensor, Tensor]]]] = {
    "mlp": (_mlp, _features),
    "cnn": (_cnn, _images),
    "lstm": (LSTMClassifier, _sequences),
    "transformer": (Decoder, _tokens),
    "bf16": (Decoder, _tokens),
    "checkpoint": (lambda: Decoder(checkpointing=True), _tokens),
}


def fit(model: nn.Module, rows: int, features: int, steps: int, lr: float) -> list[float]:
    """Train a classifier by Adam, always the same, all rows at once: which of the first four numbers is largest?"""
    x = torch.randn(rows, features, generator=torch.Generator().manual_seed(1))
    y = x[:, :4].argmax(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def train(kind: str, steps: int = 20, seed: int = 0, batch: int = 16) -> Trained:
    """Train the named loop from its seed."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    build, draw = LOOPS[kind]
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(steps):
        x, y = draw(batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bf16"):
            loss = F.cross_entropy(model(x).flatten(0, -2), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return Trained(
        losses,
        [p.detach().clone() for p in model.parameters()],
        [b.detach().clone() for b in model.buffers()],
        (torch.get_rng_state(), random.getstate(), np.random.get_state()[1:]),
    )
