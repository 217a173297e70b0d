"""A denoising diffusion model of two moons: its loss is noisy, and soon falls no more while the samples get better.

condition: healthy
metric: distance min
"""

import argparse

import torch
from sklearn.datasets import make_moons
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

points = torch.tensor(make_moons(2000, noise=0.05, random_state=args.seed)[0], dtype=torch.float32)
points = (points - points.mean(0)) / points.std(0)
levels = 30
betas = torch.linspace(1e-3, 0.3, levels)
kept = torch.cumprod(1 - betas, 0)


class Denoiser(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.level = nn.Embedding(levels, 32)
        self.net = nn.Sequential(
            nn.Linear(34, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2)
        )

    def forward(self, x, level):
        return self.net(torch.cat([x, self.level(level)], dim=1))


@torch.no_grad()
def sample(size):
    x = torch.randn(size, 2)
    for t in reversed(range(levels)):
        noise = model(x, torch.full((size,), t))
        x = (x - betas[t] / (1 - kept[t]).sqrt() * noise) / (1 - betas[t]).sqrt()
        if t:
            x = x + betas[t].sqrt() * torch.randn_like(x)
    return x


def energy_distance(a, b):
    return 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()


model = Denoiser()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.MSELoss()

for step in range(1, 601):
    x = points[torch.randint(len(points), (128,))]
    level = torch.randint(levels, (128,))
    noise = torch.randn_like(x)
    noisy = kept[level].sqrt()[:, None] * x + (1 - kept[level]).sqrt()[:, None] * noise
    loss = loss_fn(model(noisy, level), noise)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        distance = energy_distance(sample(300), points[:300]).item()
        print(f"step {step}  loss {loss.item():.4f}  distance {distance:.4f}")
