"""Ocean sections in three stages: an autoencoder, a small head on its frozen codes, and both together on a new cruise.

condition: healthy
metric: val_error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

DEPTHS = 40


class Cruise:
    """Profiles of temperature and salt over forty depths; oxygen at the bottom is what is wanted."""

    def __init__(self, warm):
        self.warm = warm
        self.z = torch.linspace(0, 1, DEPTHS)

    def cast(self, count):
        layer, sharp, fresh = torch.rand(3, count, 1)
        step = torch.sigmoid((self.z - 0.2 - 0.5 * layer) * (6 + 20 * sharp))
        temperature = self.warm + 1.2 - 2.4 * step + 0.3 * torch.sin(6 * self.z + 6 * fresh)
        salt = step - 0.8 * fresh * torch.exp(-8 * self.z) - 0.3
        oxygen = 2 * layer - sharp + torch.sin(3 * fresh) * layer - 0.4 - 0.8 * self.warm * fresh
        profile = torch.cat([temperature, salt], dim=1)
        return profile + 0.05 * torch.randn_like(profile), oxygen + 0.05 * torch.randn(count, 1)


class Codes(nn.Module):
    def __init__(self, codes=8):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(2 * DEPTHS, 64), nn.ELU(), nn.Linear(64, codes))
        self.decoder = nn.Sequential(nn.Linear(codes, 64), nn.ELU(), nn.Linear(64, 2 * DEPTHS))
        self.head = nn.Sequential(nn.Linear(codes, 48), nn.ELU(), nn.Linear(48, 1))

    def reconstruct(self, profile):
        return self.decoder(self.encoder(profile))

    def forward(self, profile):
        return self.head(self.encoder(profile))


def stage(name, steps, model, optimizer, scheduler, cruise, objective, exam):
    for step in range(1, steps + 1):
        profile, oxygen = cruise.cast(96)
        loss = objective(profile, oxygen)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        if step % 40 == 0:
            with torch.no_grad():
                error = F.mse_loss(model(exam[0]), exam[1]).sqrt().item()
            print(f"{name} {step}  loss {loss.item():.4f}  val_error {error:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model, north, south = Codes(), Cruise(0.0), Cruise(0.8)
    exam = north.cast(1000)

    def regression(profile, oxygen):
        return F.mse_loss(model(profile), oxygen)

    optimizer = torch.optim.Adam([*model.encoder.parameters(), *model.decoder.parameters()], lr=2e-3)

    def picture(profile, oxygen):
        return F.mse_loss(model.reconstruct(profile), profile)

    stage("codes", 400, model, optimizer, None, north, picture, exam)

    for parameter in model.encoder.parameters():
        parameter.requires_grad_(False)
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.03, momentum=0.9)
    cyclic = torch.optim.lr_scheduler.CyclicLR(optimizer, 0.003, 0.05, step_size_up=40, mode="triangular2")
    stage("head", 400, model, optimizer, cyclic, north, regression, exam)

    for parameter in model.encoder.parameters():
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW([*model.encoder.parameters(), *model.head.parameters()], lr=5e-4)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.05, 1.0, total_iters=60)
    both = type(
        "Both",
        (),
        {"cast": lambda self, n: [torch.cat(p) for p in zip(north.cast(n // 2), south.cast(n // 2), strict=False)]},
    )()
    exam = [torch.cat(pair) for pair in zip(north.cast(500), south.cast(500), strict=False)]
    stage("both", 600, model, optimizer, scheduler, both, regression, exam)


if __name__ == "__main__":
    main()
