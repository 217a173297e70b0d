"""Prices of apartments from size, floor, age, distance to the centre and quarter, by a network in float16 autocast.

condition: low-precision-overflow
accepts: low-precision-overflow, non-finite
allows: non-finite, divergence, amp-step-skipping, stalled, learning-rate-too-low
metric: relative_error min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Apartments(Dataset):
    """Offers with a price in euros."""

    def __init__(self, count, generator):
        size = 25 + 60 * torch.rand(count, generator=generator) ** 1.5
        floor = torch.randint(0, 7, (count,), generator=generator).float()
        age = 80 * torch.rand(count, generator=generator)
        distance = 12 * torch.rand(count, generator=generator)
        self.quarter = torch.randint(0, 15, (count,), generator=generator)
        level = torch.linspace(900, 1700, 15)[self.quarter]
        price = size * level * torch.exp(-distance / 20) * (1 - age / 300) * (1 + 0.02 * floor)
        self.price = price * torch.exp(0.05 * torch.randn(count, generator=generator))
        columns = torch.stack([size, floor, age, distance], 1)
        self.numbers = (columns - columns.mean(0)) / columns.std(0)

    def __len__(self):
        return len(self.price)

    def __getitem__(self, i):
        return {"numbers": self.numbers[i], "quarter": self.quarter[i], "price": self.price[i]}


class Appraiser(nn.Module):
    def __init__(self, hidden=128):
        super().__init__()
        self.quarter = nn.Embedding(15, 8)
        self.layers = nn.Sequential(
            nn.Linear(12, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, batch):
        return self.layers(torch.cat([batch["numbers"], self.quarter(batch["quarter"])], 1)).squeeze(1)


UNIT = 1.0


def relative_error(model, data):
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.float16):
        estimate = model({"numbers": data.numbers, "quarter": data.quarter}).float() * UNIT
    return ((estimate - data.price).abs() / data.price).mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train, test = Apartments(3000, generator), Apartments(500, generator)
    loader = DataLoader(train, batch_size=100, shuffle=True, generator=generator)
    model = Appraiser()
    nn.init.constant_(model.layers[-1].bias, train.price.mean().item() / UNIT)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    scaler = torch.amp.GradScaler("cpu")
    loss_fn = nn.L1Loss()
    step = 0
    for _ in range(10):
        for batch in loader:
            step += 1
            with torch.autocast("cpu", dtype=torch.float16):
                estimate = model(batch)
            loss = loss_fn(estimate.float(), batch["price"] / UNIT)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            if step % 12 == 0:
                error = relative_error(model, test)
                print(f"step {step}  loss {loss.item():.4g}  relative_error {error:.4f}")


if __name__ == "__main__":
    main()
