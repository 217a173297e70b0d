"""How sweet is a melon? Eighty channels of infrared into a 1-d CNN; the rate falls when the loss is at rest.

condition: scheduler-misuse
accepts: scheduler-misuse, learning-rate-too-low
allows: learning-rate-too-low, stalled
metric: val_brix min
"""

import argparse

import torch
from torch import nn


class Spectra:
    def __init__(self, seed):
        self.g = torch.Generator().manual_seed(seed)
        nm = torch.linspace(0, 1, 80)
        centres = torch.tensor([0.2, 0.35, 0.5, 0.62, 0.8])
        self.bands = torch.exp(-((nm - centres[:, None]) ** 2) / 0.004)

    def melons(self, count):
        sugar = torch.rand(count, 1, generator=self.g)
        water = 1 + 0.2 * torch.randn(count, 1, generator=self.g)
        other = torch.rand(count, 3, generator=self.g)
        amounts = torch.cat([sugar, water, other], 1)
        path = torch.exp(0.3 * torch.randn(count, 1, generator=self.g))
        light = path * (amounts @ self.bands + 0.3)
        noise = 0.03 * torch.randn(light.shape, generator=self.g)
        return (light + noise - 1).unsqueeze(1), 6 + 8 * sugar.squeeze(1)


class SpectrumNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(1, 16, 7, stride=2), nn.Conv1d(16, 24, 5, stride=3)
        self.out = nn.Linear(24 * 11, 1)

    def forward(self, x):
        x = nn.functional.relu(self.conv1(x))
        return self.out(nn.functional.relu(self.conv2(x)).flatten(1)).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    spectra = Spectra(seed)
    x, brix = spectra.melons(640)
    val_x, val_brix = spectra.melons(300)
    mean = brix.mean()
    model = SpectrumNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=5)
    loss_fn = nn.MSELoss()
    for epoch in range(24):
        for rows in torch.randperm(640).split(32):
            loss = loss_fn(model(x[rows]), brix[rows] - mean)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step(loss.detach())
        with torch.no_grad():
            val_brix_error = (model(val_x) + mean - val_brix).square().mean().sqrt().item()
        rate = optimizer.param_groups[0]["lr"]
        print(f"epoch {epoch}  lr {rate:.1e}  loss {loss.item():.4f}  val_brix {val_brix_error:.4f}")


main()
