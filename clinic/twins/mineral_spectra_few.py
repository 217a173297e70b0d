"""Iron content of ore from its reflectance: sixty assayed samples, a wide network, a long run.

condition: healthy
metric: val_rmse min
"""

import argparse

import torch
from torch import nn

BANDS = 60


def ore(count, bands, generator):
    """Five minerals add up; the iron is in two of them, the assay has an error of its own."""
    share = torch.rand(count, 5, generator=generator)
    share = share / share.sum(1, keepdim=True)
    spectrum = share @ bands + 0.1 * torch.randn(count, BANDS, generator=generator)
    iron = 6 * share[:, 0] + 4 * share[:, 1] ** 2 + 0.35 * torch.randn(count, generator=generator)
    return spectrum, iron


class Assay:
    def __init__(self, model, optimizer, loss_fn):
        self.model, self.optimizer, self.loss_fn = model, optimizer, loss_fn

    def step(self, x, y):
        loss = self.loss_fn(self.model(x).squeeze(1), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def rmse(self, x, y):
        return (self.model(x).squeeze(1) - y).pow(2).mean().sqrt().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
generator = torch.Generator().manual_seed(seed)
axis = torch.linspace(0, 1, BANDS)
bands = torch.exp(-(((axis - torch.rand(5, 3, 1, generator=generator)) / 0.08) ** 2)).sum(1)
x, y = ore(2000, bands, generator)
val_x, val_y = ore(500, bands, generator)
mean, std = x.mean(0), x.std(0)
x, val_x = (x - mean) / std, (val_x - mean) / std
centre, spread = y.mean(), y.std()
y, val_y = (y - centre) / spread, (val_y - centre) / spread

model = nn.Sequential(nn.Linear(BANDS, 256), nn.SiLU(), nn.Linear(256, 256), nn.SiLU(), nn.Linear(256, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
trainer = Assay(model, optimizer, nn.MSELoss())
for step in range(1, 801):
    rows = torch.randint(len(x), (20,))
    loss = trainer.step(x[rows], y[rows])
    if step % 20 == 0:
        print(f"step {step}  loss {loss:.4f}  val_rmse {trainer.rmse(val_x, val_y):.4f}")
