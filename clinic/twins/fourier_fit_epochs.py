"""A network on random Fourier features fits a bumpy surface, epoch by epoch.

condition: healthy
metric: loss min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def surface(p):
    return torch.sin(5 * p[:, 0]) * torch.cos(7 * p[:, 1]) + torch.exp(-20 * (p - 0.5).square().sum(1))


class FourierNet(nn.Module):
    def __init__(self, features=48, width=64):
        super().__init__()
        self.register_buffer("directions", 4 * torch.randn(2, features))
        self.net = nn.Sequential(
            nn.Linear(2 * features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, p):
        angle = p @ self.directions
        return self.net(torch.cat([angle.sin(), angle.cos()], 1)).squeeze(-1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

points = torch.rand(2000, 2)
loader = DataLoader(
    TensorDataset(points, surface(points)),
    batch_size=50,
    shuffle=True,
    generator=torch.Generator().manual_seed(args.seed),
)
model = FourierNet()
loss_fn = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-2, betas=(0.9, 0.99))

step = 0
for _ in range(15):
    for x, y in loader:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 10 == 1:
            print(f"step {step}  loss {loss.item():.5f}")
