"""A few latent vectors read a long list of a building's meters and tell which of them is faulty.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

METERS = 16


class Perceiver(nn.Module):
    def __init__(self, d=32, latents=6, rounds=2):
        super().__init__()
        self.meter = nn.Parameter(0.3 * torch.randn(METERS, d))
        self.value = nn.Linear(2, d)
        self.latents = nn.Parameter(0.3 * torch.randn(latents, d))
        self.read = nn.ModuleList(nn.MultiheadAttention(d, 4, batch_first=True) for _ in range(rounds))
        self.think = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 64), nn.GELU(), nn.Linear(64, d)) for _ in range(rounds)
        )
        self.answer = nn.Linear(latents * d, METERS)

    def forward(self, readings):
        tokens = self.value(readings) + self.meter
        state = self.latents.expand(len(readings), -1, -1)
        for read, think in zip(self.read, self.think):
            state = state + read(state, tokens, tokens, need_weights=False)[0]
            state = state + think(state)
        return self.answer(state.flatten(1))


def building(n, coupling):
    use = torch.randn(n, 3) @ coupling
    faulty = torch.randint(METERS, (n,))
    off = F.one_hot(faulty, METERS) * (1.5 + torch.rand(n, 1)) * torch.randn(n, 1).sign()
    return torch.stack([use + off + 0.1 * torch.randn(n, METERS), use + 0.5 * torch.randn(n, METERS)], 2), faulty


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    coupling = torch.randn(3, METERS)
    x, y = building(12000, coupling)
    val_x, val_y = building(1000, coupling)
    model = Perceiver()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 801):
        rows = torch.randint(len(x), (64,))
        loss = loss_fn(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0 or step == 1:
            with torch.no_grad():
                error = (model(val_x).argmax(1) != val_y).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {error:.4f}")


main()
