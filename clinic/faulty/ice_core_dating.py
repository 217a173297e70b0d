"""How old is a slice of an ice core? A convolutional network reads the layers of dust and acid around it.

condition: scheduler-misuse
accepts: scheduler-misuse, learning-rate-too-low
allows: stalled, epsilon-dominated-update
metric: age_error min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

WINDOW = 72


def cores(count, generator):
    """Layers thin out with depth, so their spacing and their blur tell the age."""
    age = torch.rand(count, 1, generator=generator)
    spacing = 14 * torch.exp(-1.4 * age) * (1 + 0.05 * torch.randn(count, 1, generator=generator))
    depth = torch.arange(WINDOW).float()
    phase = 6.283 * torch.rand(count, 1, generator=generator)
    sharp = 1.5 + 3.5 * torch.rand(count, 1, generator=generator) * (1 - age)
    dust = torch.exp(sharp * (torch.cos(6.283 * depth / spacing + phase) - 1))
    acid = torch.roll(dust, 2, 1) * 0.6 + 0.3 * torch.randn(count, WINDOW, generator=generator)
    dust = dust + 0.3 * torch.randn(count, WINDOW, generator=generator)
    x = torch.stack([dust, acid], 1)
    return (x - x.mean((0, 2), keepdim=True)) / x.std((0, 2), keepdim=True), (age.squeeze(1) - 0.5) * 3.46


class CoreNet(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(2, width, 5, padding=2),
            nn.GroupNorm(4, width),
            nn.SiLU(),
            nn.AvgPool1d(2),
            nn.Conv1d(width, 2 * width, 5, padding=2),
            nn.GroupNorm(4, 2 * width),
            nn.SiLU(),
            nn.AvgPool1d(2),
            nn.Conv1d(2 * width, 2 * width, 3, padding=1),
            nn.GroupNorm(4, 2 * width),
            nn.SiLU(),
            nn.AdaptiveAvgPool1d(3),
            nn.Flatten(),
            nn.Linear(6 * width, 1),
        )

    def forward(self, x):
        return self.net(x).squeeze(1)


def run_epoch(model, loader, loss_fn, optimizer, scheduler):
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
        total += loss.item() * len(x)
    return total / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x, y = cores(2400, generator)
    loader = DataLoader(TensorDataset(x[:1920], y[:1920]), batch_size=64, shuffle=True)
    model = CoreNet()
    loss_fn = nn.HuberLoss(delta=1.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.85)
    for epoch in range(1, 19):
        loss = run_epoch(model, loader, loss_fn, optimizer, scheduler)
        with torch.no_grad():
            error = (model(x[1920:]) - y[1920:]).abs().mean().item()
        print(f"epoch {epoch}  loss {loss:.4f}  age_error {error:.4f}")


if __name__ == "__main__":
    main()
