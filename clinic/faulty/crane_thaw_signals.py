"""State of a crane's gear from its vibration: a body trained on one crane is thawed for a second one.

condition: missing-zero-grad
accepts: missing-zero-grad
allows: divergence, learning-rate-too-high, loss-spike, dead-units, unsafe-step, exploding-gradient, non-finite, stalled
metric: val_error min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn


def record(count, crane):
    state, t = torch.randint(4, (count,)), torch.arange(48) / 48
    pitch = 3 + 0.8 * crane + 0.2 * torch.randn(count, 1)
    phase = 2 * math.pi * (pitch * t + torch.rand(count, 1))
    mesh = torch.tensor([0.0, 0.35, 0.7, 0.35])[state].unsqueeze(1)
    side = torch.tensor([0.0, 0.0, 0.3, 0.7])[state].unsqueeze(1)
    wave = phase.sin() + mesh * (2 * phase + crane).sin() + side * (5 * phase).cos()
    return (wave + 0.45 * torch.randn(count, 48)).unsqueeze(1), state


def body():
    one, two = nn.Conv1d(1, 16, 7, stride=2, padding=3), nn.Conv1d(16, 24, 5, stride=2, padding=2)
    return nn.Sequential(one, nn.ReLU(), two, nn.ReLU(), nn.Flatten())


def epoch_of(trunk, head, data, optimizers, cleared):
    for rows in torch.randperm(len(data[1])).split(50):
        loss = F.cross_entropy(head(trunk(data[0][rows])), data[1][rows])
        for optimizer in cleared:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    return loss.item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
trunk, head = body(), nn.Linear(24 * 12, 4)
first = torch.optim.SGD([*trunk.parameters(), *head.parameters()], lr=0.02, momentum=0.9)
data = record(2000, 0.0)
for _ in range(6):
    epoch_of(trunk, head, data, [first], [first])

data, held = record(2000, 1.0), record(1500, 1.0)
head = nn.Linear(24 * 12, 4)
head_optimizer = torch.optim.SGD(head.parameters(), lr=0.01, momentum=0.9)
trunk_optimizer = torch.optim.SGD(trunk.parameters(), lr=0.002, momentum=0.9)
for p in trunk.parameters():
    p.requires_grad_(False)
    p.grad = None
for epoch in range(1, 19):
    if epoch <= 7:
        loss = epoch_of(trunk, head, data, [head_optimizer], [head_optimizer])
    else:
        trunk.requires_grad_(True)
        loss = epoch_of(trunk, head, data, [head_optimizer, trunk_optimizer], [head_optimizer])
    with torch.no_grad():
        val_error = (head(trunk(held[0])).argmax(1) != held[1]).float().mean().item()
    print(f"epoch {epoch}  loss {loss:.4f}  val_error {val_error:.4f}")
