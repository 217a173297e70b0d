"""A gallery guide is asked for the mood at a place: it weighs all visitors by how near they stand to it.

condition: healthy
metric: val_error min
"""

import argparse
import math

import torch
from torch import nn

VISITORS = 24


def visits(n, g):
    place = 2 * torch.rand(n, VISITORS, 2, generator=g) - 1
    mood = torch.randn(n, VISITORS, 1, generator=g)
    asked = 2 * torch.rand(n, 2, generator=g) - 1
    near = torch.exp(-(place - asked[:, None]).pow(2).sum(-1, keepdim=True) / 0.18)
    return place, mood, asked, (near * mood).sum(1) / near.sum(1)


class Guide(nn.Module):
    def __init__(self, dim=32, heads=2):
        super().__init__()
        self.heads, self.dim = heads, dim
        self.place, self.question = nn.Linear(4, dim), nn.Linear(4, dim)
        self.mood = nn.Linear(1, dim)
        self.q, self.kv, self.proj = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.answer = nn.Sequential(nn.Linear(dim, 64), nn.GELU(), nn.Linear(64, 1))

    def split(self, x):
        return x.view(len(x), -1, self.heads, self.dim // self.heads).transpose(1, 2)

    def forward(self, place, mood, asked):
        tokens = self.place(torch.cat([place, place**2], -1)) + self.mood(mood)
        k, v = self.kv(tokens).chunk(2, dim=-1)
        q = self.split(self.q(self.question(torch.cat([asked, asked**2], -1))).unsqueeze(1))
        k, v = self.split(k), self.split(v)
        weights = (q @ k.transpose(-2, -1) / math.sqrt(self.dim // self.heads)).softmax(dim=-1)
        entropy = -(weights * (weights + 1e-9).log()).sum(-1).mean()
        out = (weights @ v).transpose(1, 2).reshape(len(place), self.dim)
        return self.answer(self.proj(out)), entropy


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    val = visits(1000, g)
    model = Guide()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    total = 1500
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min(1.0, (s + 1) / 50) * (0.55 + 0.45 * math.cos(math.pi * s / total))
    )
    for step in range(1, total + 1):
        *batch, target = visits(64, g)
        answer, entropy = model(*batch)
        fit = nn.functional.mse_loss(answer, target)
        # from a third of the run on: keep the heads broad
        beta = 0.5 * min(1.0, max(0.0, (step - 500) / 200))
        loss = fit - 0.01 * beta * entropy
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 50 == 0:
            with torch.no_grad():
                error = (model(*val[:3])[0] - val[3]).pow(2).mean().sqrt().item()
            print(f"step {step}  fit {fit.item():.4f}  val_error {error:.4f}")


if __name__ == "__main__":
    main()
