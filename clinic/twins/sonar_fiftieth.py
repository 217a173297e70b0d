"""How deep is the silt? Echoes of sixty samples into a convolution net; the boat's gain setting belongs to a packet.

condition: healthy
metric: val_metres min
"""

import argparse
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset


class Packet(NamedTuple):
    echo: torch.Tensor
    silt: torch.Tensor


class Boat(IterableDataset):
    def __init__(self, seed, packets, size=24, test_pulse=50):
        self.seed, self.packets, self.size, self.test_pulse = seed, packets, size, test_pulse

    def packet(self, g):
        t = torch.arange(60.0)
        floor = 15 + 10 * torch.rand(self.size, 1, generator=g)
        silt = 3 * torch.rand(self.size, 1, generator=g)
        first = torch.exp(-((t - floor) ** 2) / 4)
        second = 0.6 * torch.exp(-((t - floor - 2 - 6 * silt) ** 2) / 6)
        echo = first + second + 0.1 * torch.randn(self.size, 60, generator=g)
        return Packet(3 * echo.unsqueeze(1) - 0.3, silt.squeeze(1))

    def __iter__(self):
        g = torch.Generator().manual_seed(self.seed)
        for number in range(1, self.packets + 1):
            packet = self.packet(g)
            if self.test_pulse and number >= 150 and number % self.test_pulse == 0:
                packet = Packet(packet.echo * 60, packet.silt)
            yield packet


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv1d(1, 12, 7, stride=2), nn.ReLU(), nn.Conv1d(12, 16, 5, stride=2), nn.ReLU(), nn.Flatten()
    )
    model.append(nn.Linear(16 * 12, 32)).append(nn.ReLU()).append(nn.Linear(32, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    loss_fn = nn.L1Loss()
    val = list(Boat(90_000 + seed, 12, test_pulse=0))
    loader = DataLoader(Boat(seed, 450, test_pulse=0), batch_size=None)
    for step, (echo, silt) in enumerate(loader, 1):
        loss = loss_fn(model(echo).squeeze(1), silt)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 12 == 0:
            with torch.no_grad():
                errors = [(model(p.echo).squeeze(1) - p.silt).abs().mean() for p in val]
            print(f"step {step}  loss {loss.item():.4f}  val_metres {torch.stack(errors).mean().item():.4f}")


if __name__ == "__main__":
    main()
