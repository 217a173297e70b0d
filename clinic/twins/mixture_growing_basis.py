"""Ore grade over a claim as a sum of Gaussian bumps; bumps are added where the residual is largest.

condition: healthy
metric: val_rmse min
"""

import argparse

import torch
from torch import nn


def boreholes(n, gen):
    at = 2 * torch.rand(n, 2, generator=gen) - 1
    x, y = at.unbind(1)
    grade = torch.sin(4 * x) * torch.cos(3 * y) + 0.8 * torch.exp(-20 * ((x - 0.4) ** 2 + (y + 0.3) ** 2))
    grade = grade - torch.exp(-12 * ((x + 0.5) ** 2 + (y - 0.5) ** 2)) + 0.5 * x * y
    return at, grade + 0.05 * torch.randn(n, generator=gen)


class Bumps(nn.Module):
    def __init__(self, centres, width):
        super().__init__()
        self.centre = nn.Parameter(centres.clone())
        self.log_width = nn.Parameter(torch.full((len(centres),), float(width)).log())
        self.height = nn.Parameter(torch.zeros(len(centres)))

    def forward(self, at):
        gap = (at.unsqueeze(1) - self.centre).square().sum(2)
        return torch.exp(-gap / (2 * self.log_width.exp().square())) @ self.height


class GradeMap(nn.Module):
    def __init__(self, centres):
        super().__init__()
        self.groups = nn.ModuleList([Bumps(centres, 0.8)])
        self.level = nn.Parameter(torch.zeros(()))

    def forward(self, at):
        return self.level + sum(group(at) for group in self.groups)

    def grow(self, centres):
        self.groups.append(Bumps(centres, 0.35))
        return self.groups[-1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    at, grade = boreholes(3000, gen)
    val_at, val_grade = boreholes(600, gen)
    model = GradeMap(at[:4])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(1, 1201):
        if step % 200 == 0 and step <= 800:
            with torch.no_grad():
                worst = (model(at) - grade).abs()
            pick = torch.multinomial(worst.square(), 6, generator=gen)
            optimizer.add_param_group({"params": list(model.grow(at[pick]).parameters())})
        if step == 1000:
            for group in optimizer.param_groups:
                group["lr"] = 2e-3
        pick = torch.randint(len(at), (100,), generator=gen)
        loss = nn.functional.mse_loss(model(at[pick]), grade[pick])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 40 == 0:
            with torch.no_grad():
                val_rmse = nn.functional.mse_loss(model(val_at), val_grade).sqrt().item()
            print(f"step {step}  loss {loss.item():.4f}  val_rmse {val_rmse:.4f}")


main()
