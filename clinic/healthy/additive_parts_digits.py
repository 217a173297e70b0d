"""Digits as sums of strokes: factors that may not be negative, by projected steps, with codes shrunk to few strokes.

condition: healthy
infos: stale-batch
metric: val_error min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

PARTS = 36


class Strokes(nn.Module):
    def __init__(self, samples, pixels):
        super().__init__()
        self.codes = nn.Parameter(0.12 * torch.rand(samples, PARTS))
        self.parts = nn.Parameter(torch.rand(PARTS, pixels))

    def forward(self):
        return self.codes @ self.parts

    @torch.no_grad()
    def project(self):
        self.codes.clamp_(min=0)
        self.parts.clamp_(min=0)
        length = self.parts.norm(dim=1, keepdim=True).clamp_min(1e-6)
        self.parts.div_(length)
        self.codes.mul_(length[:, 0])


def encode(parts, x, rounds=200):
    """Codes of new pictures for fixed strokes: projected gradient with the exact step."""
    square = parts @ parts.T
    step = 1 / torch.linalg.eigvalsh(square)[-1]
    code = torch.zeros(len(x), len(parts))
    for _ in range(rounds):
        code = (code - step * (code @ square - x @ parts.T)).clamp_min(0)
    return code


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    order = torch.randperm(len(x))
    train, val = x[order[:1400]], x[order[1400:]]
    model = Strokes(len(train), 64)
    optimizer = torch.optim.Adam([
        {"params": [model.codes], "lr": 0.02}, {"params": [model.parts], "lr": 0.01},
    ], betas=(0.8, 0.99))  # fmt: skip
    steps = 400
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=2e-4)
    for step in range(1, steps + 1):
        gap = (model() - train).pow(2).sum(1).mean()
        loss = gap + 0.02 * model.codes.sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.project()
        schedule.step()
        if step % 20 == 0:
            with torch.no_grad():
                left = (encode(model.parts, val) @ model.parts - val).pow(2).sum() / (val - train.mean(0)).pow(2).sum()
                zero = (model.codes == 0).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  zeros {zero:.2f}  val_error {left.item():.4f}")


if __name__ == "__main__":
    main()
