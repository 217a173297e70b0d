"""An LSTM forecasts the queue of a walk-in ward from the last hours of arrivals and staff.

condition: healthy
metric: val_mae min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def ward(count, hours=20):
    arrivals = torch.poisson(4 + 3 * torch.sin(torch.rand(count, 1) * 6.3 + torch.arange(hours) * 0.26))
    staff = torch.randint(2, 7, (count, 1)).float().expand(-1, hours)
    queue = torch.zeros(count)
    for h in range(hours):
        queue = (queue + arrivals[:, h] - 1.1 * staff[:, h]).clamp(0, 25)
    return torch.stack([arrivals / 3 - 1.3, staff / 2 - 2], 2), queue / 8


class Queue(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.lstm = nn.LSTM(2, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1]).squeeze(1)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    torch.manual_seed(ap.parse_args().seed)
    x, y = ward(2560)
    held_x, held_y = ward(1000)
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True, drop_last=True)
    model = Queue()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.L1Loss()
    batches = iter(loader)
    for step in range(1, 701):
        try:
            batch = next(batches)
        except StopIteration:
            batches = iter(loader)
            batch = next(batches)
        loss = loss_fn(model(batch[0]), batch[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                mae = loss_fn(model(held_x), held_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_mae {mae:.4f}")


main()
