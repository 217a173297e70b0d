"""Night frost in orchards: a mixture of experts over stations' readings, gated by the lie of the land.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters
allows: stalled, learning-rate-too-low
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F


class FrostExperts(nn.Module):
    def __init__(self, readings=6, land=3, experts=5, width=32):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(readings, width), nn.SiLU())
        self.experts = [nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 8)) for _ in range(experts)]
        self.gate = nn.Sequential(nn.Linear(land, 16), nn.Tanh(), nn.Linear(16, experts))
        self.out = nn.Linear(8, 1)

    def forward(self, readings, land):
        h = self.trunk(readings)
        each = torch.stack([expert(h) for expert in self.experts], 1)
        weight = self.gate(land).softmax(-1).unsqueeze(-1)
        return self.out((weight * each).sum(1)).squeeze(1)


def nights(n):
    readings, land = torch.randn(n, 6), torch.randn(n, 3)
    valley = torch.sigmoid(4 * land[:, 0])
    cold = valley * torch.sin(2 * readings[:, 0]) * readings[:, 1] + (1 - valley) * (readings[:, 2] * readings[:, 3])
    cold = cold + 0.5 * readings[:, 4] * torch.sign(land[:, 1])
    return readings, land, (torch.rand(n) < torch.sigmoid(4 * cold)).float()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    *held, held_frost = nights(1500)
    model = FrostExperts()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 900)
    for step in range(1, 901):
        *night, frost = nights(96)
        loss = F.binary_cross_entropy_with_logits(model(*night), frost)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 45 == 0:
            with torch.no_grad():
                val = F.binary_cross_entropy_with_logits(model(*held), held_frost).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val:.4f}")


if __name__ == "__main__":
    main()
