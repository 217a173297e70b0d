"""A GRU reads a day of a weather station, in the units of its log, and tells whether a storm follows.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def station_days(count, generator):
    """Hourly pressure in pascal, temperature in kelvin, humidity in per cent, wind in m/s; (count, 24, 4)."""
    hours = torch.arange(24.0)
    storm = (torch.rand(count, 1, generator=generator) < 0.5).float()

    def noise(scale, *shape):
        return scale * torch.randn(*shape, generator=generator)

    fall = storm * (12.0 + noise(6.0, count, 1)) + noise(8.0, count, 1)
    pressure = 101325 + noise(600.0, count, 1) - fall * hours + noise(60.0, count, 24)
    daily = torch.sin((hours - 9) * 3.14159 / 12)
    temperature = 285 + noise(6.0, count, 1) + 4 * daily * (1 - 0.4 * storm) + noise(0.8, count, 24)
    humidity = 62 + 10 * storm + noise(9.0, count, 1) - 8 * daily + noise(4.0, count, 24)
    wind = (4 + noise(1.2, count, 1) + storm * hours / 12 + noise(1.0, count, 24)).clamp(min=0)
    return torch.stack([pressure, temperature, humidity, wind], 2), storm.squeeze(1)


class StormWatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 32, batch_first=True)
        self.head = nn.Linear(32, 1)

    def forward(self, day):
        _, last = self.gru(day)
        return self.head(last[0]).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(100 + seed)
    train, labels = station_days(1280, generator)
    val, val_labels = station_days(400, generator)
    mean, std = train.mean((0, 1)), train.std((0, 1))
    train, val = (train - mean) / std, (val - mean) / std
    loader = DataLoader(TensorDataset(train, labels), batch_size=64, shuffle=True, generator=generator)

    model = StormWatch()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    loss_fn = nn.BCEWithLogitsLoss()
    for epoch in range(1, 19):
        for day, label in loader:
            loss = loss_fn(model(day), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            logits = model(val)
        val_loss = loss_fn(logits, val_labels).item()
        right = ((logits > 0) == (val_labels > 0.5)).float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}  right {right:.3f}")


if __name__ == "__main__":
    main()
