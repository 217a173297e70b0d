"""Real training: attention, rank, time and initialisation gone wrong are found, and their repaired twins left alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.modules.loss import CrossEntropyLoss

from surefoot.findings import Engine
from surefoot.findings.remedies import KAIMING
from surefoot.findings.rules.recurrence import orthogonal
from surefoot.runs import Event, Finding
from watching import watching

OURS = {"attention-logit-growth", "rank-collapse", "bptt-explosion", "off-critical-initialisation"}
KINDS, LENGTH = 13, 24


class Block(nn.Module):
    def __init__(self, skip: bool) -> None:
        super().__init__()
        self.skip = skip
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.fc1, self.fc2 = nn.Linear(32, 64), nn.Linear(64, 32)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        mixed = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        x = x + mixed if self.skip else mixed
        update = self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return x + update if self.skip else update


class Encoder(nn.Module):
    def __init__(self, depth: int = 2, skip: bool = True) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(KINDS, 32), nn.Parameter(0.02 * torch.randn(LENGTH, 32))
        self.blocks = nn.ModuleList(Block(skip) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, KINDS)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.place
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Reader(nn.Module):
    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = (
            nn.Embedding(KINDS, 16),
            nn.RNN(16, 48, batch_first=True),
            nn.Linear(48, KINDS),
        )
        for name, weight in self.rnn.named_parameters():
            weight.data *= gain if "weight_hh" in name else 1.0

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(tokens))[0])


def tokens() -> tuple[Tensor, Tensor]:
    """Each symbol is the one before plus one or two: what comes next can be learned in part."""
    steps = torch.randint(1, 3, (16, LENGTH + 1)).cumsum(1)
    line = (steps + torch.randint(KINDS, (16, 1))) % KINDS
    return line[:, :-1], line[:, 1:]


def copies() -> tuple[Tensor, Tensor]:
    line = torch.randint(KINDS, (16, LENGTH))
    return line, line.roll(1, 1)


def digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    chosen = torch.randint(len(data.data), (64,))
    return torch.tensor(data.data[chosen] / 16, dtype=torch.float32), torch.tensor(data.target)[chosen]


def mlp() -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(20):
        layers += [nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 10))


def diagnose(
    build: Callable[[], nn.Module],
    draw: Callable[[], tuple[Tensor, Tensor]],
    lr: float,
    steps: int,
    cure: str,
    seed: int,
) -> dict[str, Finding]:
    torch.manual_seed(seed)
    names = {"model": build()}
    exec(cure, names)
    model = names["model"]
    optimizer = torch.optim.Adam(model.parameters(), lr)
    loss_fn = CrossEntropyLoss()
    with watching(4) as seen:
        for _ in range(steps):
            inputs, targets = draw()
            loss = loss_fn(model(inputs).flatten(0, -2), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            assert math.isfinite(loss.item())
    engine = Engine()
    engine.feed_all(seen.rows, [Event(*event) for event in seen.events])
    return {f.id: f for f in engine.findings if f.severity != "info"}


FAULTS = {
    "attention-logit-growth": (Encoder, copies, 0.3, 48),
    "rank-collapse": (lambda: Encoder(6, skip=False), copies, 1e-3, 48),
    "bptt-explosion": (lambda: Reader(9.0), tokens, 3e-3, 32),
    "off-critical-initialisation": (mlp, digits, 1e-3, 80),
}
REPAIRED = {
    "attention-logit-growth": (Encoder, copies, 3e-3, 48, ""),
    "rank-collapse": (lambda: Encoder(6), copies, 1e-3, 48, ""),
    "bptt-explosion": (lambda: Reader(9.0), tokens, 3e-3, 32, orthogonal(()).how),
    "off-critical-initialisation": (mlp, digits, 1e-3, 80, KAIMING.how),
}


@pytest.mark.parametrize("seed", [0])  # more seeds, and more networks, are the clinic's
@pytest.mark.parametrize("id", FAULTS)
def test_a_fault_is_found(id: str, seed: int) -> None:
    found = diagnose(*FAULTS[id], "", seed)
    assert id in found
    if id == "off-critical-initialisation":
        assert found[id].rank == 1 and found["vanishing-gradient"].because_of == id


@pytest.mark.parametrize("seed", [0])  # more seeds, and more networks, are the clinic's
@pytest.mark.parametrize("id", REPAIRED)
def test_its_repaired_twin_is_left_alone(id: str, seed: int) -> None:
    found = diagnose(*REPAIRED[id], seed)
    assert not OURS & set(found) and "vanishing-gradient" not in found
