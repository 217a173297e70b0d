"""Water over a weir from rain: a small convolution in time, adaptive steps by Adam, clipping of each weight's gradient.

condition: always-clipping
accepts: always-clipping, epsilon-dominated-update
allows: epsilon-dominated-update, learning-rate-too-low, stalled
metric: val_loss min
"""

import argparse

import torch
from torch import nn


def rains(count, hours=24):
    rain = torch.relu(torch.randn(count, hours) - 0.5)
    soil = torch.rand(count, 1)
    store = torch.zeros(count)
    for hour in range(hours):
        store = 0.8 * store + rain[:, hour] * (0.3 + 0.7 * soil[:, 0])
    x = torch.stack([rain - 0.2, (soil - 0.5).expand(count, hours)], 1)
    return x, torch.log1p(store) - 0.7


class Weir(nn.Module):
    def __init__(self, channels=16):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv1d(2, channels, 4, stride=2), nn.Conv1d(channels, channels, 3, stride=2)])
        self.dense = nn.Linear(channels * 5, 1)

    def forward(self, x):
        for conv in self.convs:
            x = nn.functional.elu(conv(x))
        return self.dense(x.flatten(1)).squeeze(1)


class Fit:
    max_value = 1e-8

    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, eps=1e-6)
        self.criterion = nn.MSELoss()

    def __call__(self, x, y):
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(x), y)
        loss.backward()
        nn.utils.clip_grad_value_(self.model.parameters(), self.max_value)
        self.optimizer.step()
        return loss.item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    fit = Fit(Weir())
    val_x, val_y = rains(400)
    for step in range(1, 351):
        loss = fit(*rains(32))
        if step % 14 == 0:
            with torch.no_grad():
                val_loss = fit.criterion(fit.model(val_x), val_y).item()
            print(f"step {step}  loss {loss:.4f}  val_loss {val_loss:.4f}")
