"""Yield, purity and heat of a reactor from its settings: shared trunk, conflicting gradients projected away (PCGrad).

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn


def reactor(count, rng):
    heat, feed, acid, stir = 2 * torch.rand(4, count, generator=rng) - 1
    rate = torch.exp(1.2 * heat + 0.4 * acid)
    output = rate * (1 + 0.6 * feed) / (1 + rate)
    purity = torch.exp(-0.5 * rate) * torch.cos(1.5 * feed + acid) + 0.3 * stir
    power = rate * (1.2 + feed) ** 2 / 4 - 0.6 * stir
    y = torch.stack([output, purity, power], 1)
    y = (y - torch.tensor([0.55, 0.68, 0.65])) / torch.tensor([0.35, 0.42, 0.85])
    return torch.stack([heat, feed, acid, stir], 1) * 1.7, y + 0.08 * torch.randn(y.shape, generator=rng)


class Trunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(4, 64), nn.SiLU(), nn.Linear(64, 48), nn.SiLU())
        self.heads = nn.ModuleList(nn.Sequential(nn.Linear(48, 16), nn.SiLU(), nn.Linear(16, 1)) for _ in range(3))

    def forward(self, x):
        h = self.shared(x)
        return torch.cat([head(h) for head in self.heads], 1)


def projected(rows):
    """Each task's gradient without its part against the others', then their sum."""
    out = rows.clone()
    for i in range(len(rows)):
        for j in torch.randperm(len(rows)).tolist():
            dot = out[i] @ rows[j]
            if i != j and dot < 0:
                out[i] -= dot / (rows[j] @ rows[j] + 1e-12) * rows[j]
    return out.sum(0)


def backward(model, losses):
    trunk = list(model.shared.parameters())
    rows = torch.stack([
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, trunk, retain_graph=True)]) for loss in losses
    ])  # fmt: skip
    for head, loss in zip(model.heads, losses, strict=True):
        own = list(head.parameters())
        for p, g in zip(own, torch.autograd.grad(loss, own, retain_graph=True), strict=True):
            p.grad = g
    total = projected(rows)
    for p, part in zip(trunk, total.split([p.numel() for p in trunk]), strict=True):
        p.grad = part.view_as(p)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    x, y = reactor(2000, rng)
    x_val, y_val = reactor(1000, rng)
    model = Trunk()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    epochs = 20
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(1, epochs + 1):
        for rows in torch.randperm(len(x)).split(50):
            backward(model, (model(x[rows]) - y[rows]).pow(2).mean(0))
            optimizer.step()
        schedule.step()
        with torch.no_grad():
            errors = (model(x_val) - y_val).pow(2).mean(0).sqrt()
        print(f"epoch {epoch}  each {[round(e, 3) for e in errors.tolist()]}  val_error {errors.mean().item():.4f}")


if __name__ == "__main__":
    main()
