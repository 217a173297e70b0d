"""Viscosity of a glass melt from composition and temperature; the rate falls when R2 no longer gets better.

condition: scheduler-misuse
accepts: scheduler-misuse
allows: learning-rate-too-low, stalled
metric: r2 max
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)


def melts(count):
    parts = torch.distributions.Dirichlet(torch.tensor([6.0, 1.5, 1.2, 0.8, 0.5])).sample((count,))
    heat = 900 + 600 * torch.rand(count)
    silica, soda, lime, alumina, boron = parts.T
    b = 4500 + 4000 * silica - 6000 * soda + 5000 * alumina - 3000 * boron * soda.sqrt()
    t0 = 350 + 200 * lime - 250 * soda + 150 * torch.sin(8 * alumina)
    logs = -2.5 + b / (heat - t0)
    x = torch.cat([parts, heat.unsqueeze(1)], 1)
    return x, (logs + 0.05 * torch.randn(count)).unsqueeze(1)


x, y = melts(5000)
mean, std = x[:4000].mean(0), x[:4000].std(0)
x = (x - mean) / std
y = (y - y[:4000].mean()) / y[:4000].std()
loader = DataLoader(
    TensorDataset(x[:4000], y[:4000]), batch_size=64, shuffle=True, generator=torch.Generator().manual_seed(seed)
)

model = nn.Sequential(nn.Linear(6, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=2)
loss_fn = nn.MSELoss()

for epoch in range(1, 36):
    for features, target in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(features), target)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        rest = (model(x[4000:]) - y[4000:]).square().mean()
        r2 = (1 - rest / y[4000:].var()).item()
    scheduler.step(r2)
    print(f"epoch {epoch}  loss {loss.item():.5f}  r2 {r2:.5f}  lr {optimizer.param_groups[0]['lr']:.2g}")
