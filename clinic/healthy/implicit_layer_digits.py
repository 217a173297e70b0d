"""Digits by an equilibrium network: one layer iterated to its fixed point, gradient by the implicit function theorem.

condition: healthy
metric: val_error min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn


def solve(f, z, tolerance=1e-3, limit=25):
    for _ in range(limit):
        new = f(z)
        if (new - z).norm() < tolerance * (new.norm() + 1e-6):
            return new
        z = new
    return z


class Equilibrium(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.inject = nn.Linear(inputs, width)
        self.loop = nn.Linear(width, width, bias=False)
        nn.init.normal_(self.loop.weight, std=0.5 / width**0.5)

    def cell(self, z, drive):
        return torch.tanh(self.loop(z) + drive)

    def forward(self, x):
        drive = self.inject(x)
        with torch.no_grad():
            z = solve(lambda z: self.cell(z, drive), torch.zeros_like(drive))
        z = self.cell(z, drive)
        if self.training:
            start = z.detach().requires_grad_()
            again = self.cell(start, drive.detach())

            def implicit(grad):
                return solve(lambda g: torch.autograd.grad(again, start, g, retain_graph=True)[0] + grad, grad)

            z.register_hook(implicit)
        return z


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, y = load_digits(return_X_y=True)
    x, x_val, y, y_val = train_test_split(x / 8.0 - 0.6, y, test_size=0.3, random_state=1)
    x, x_val = (torch.tensor(a, dtype=torch.float32) for a in (x, x_val))
    y, y_val = torch.tensor(y), torch.tensor(y_val)
    model = nn.Sequential(Equilibrium(64, 96), nn.Dropout(0.3), nn.Linear(96, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    epochs = 24
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, epochs)
    for epoch in range(1, epochs + 1):
        model.train()
        for rows in torch.randperm(len(x)).split(48):
            noisy = x[rows] + 0.15 * torch.randn(len(rows), 64)
            loss = F.cross_entropy(model(noisy), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        model.eval()
        with torch.no_grad():
            logits = model(x_val)
        wrong = (logits.argmax(1) != y_val).float().mean().item()
        print(f"epoch {epoch}  val_loss {F.cross_entropy(logits, y_val).item():.4f}  val_error {wrong:.4f}")


if __name__ == "__main__":
    main()
