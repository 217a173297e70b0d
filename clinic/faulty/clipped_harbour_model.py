"""Sea level in a harbour an hour ahead from a day of readings, by an LSTM trained with momentum and clipped gradients.

condition: always-clipping
accepts: always-clipping, learning-rate-too-low
allows: learning-rate-too-low, stalled
metric: val_rmse min
"""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def harbour(days, generator):
    hour = torch.arange(24.0 * days)
    tide = torch.sin(2 * math.pi * hour / 12.42) + 0.4 * torch.sin(2 * math.pi * hour / 25.82)
    gust, surge = torch.randn(len(hour), generator=generator), torch.zeros(len(hour))
    for i in range(1, len(hour)):
        surge[i] = 0.95 * surge[i - 1] + 0.15 * gust[i]
    level = tide + surge + 0.05 * torch.randn(len(hour), generator=generator)
    return (level - level.mean()) / level.std()


def cut(level):
    rows = level.unfold(0, 25, 1)
    return TensorDataset(rows[:, :-1].unsqueeze(-1), rows[:, -1] - rows[:, -2])


class Harbour(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.out(self.lstm(x)[0][:, -1]).squeeze(1)


def main(seed):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train = DataLoader(cut(harbour(60, generator)), batch_size=48, shuffle=True, drop_last=True)
    val_x, val_y = cut(harbour(30, generator)).tensors
    model = Harbour()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss_fn = nn.MSELoss()
    for epoch in range(1, 21):
        for x, y in train:
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.001)
            optimizer.step()
        with torch.no_grad():
            val_rmse = loss_fn(model(val_x), val_y).sqrt()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_rmse {val_rmse.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
