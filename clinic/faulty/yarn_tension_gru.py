"""Tension of a yarn from a spool's speed: a recurrent network in half precision, with the loom's louder second shift.

condition: low-precision-overflow
accepts: low-precision-overflow
allows: non-finite, unscaled-inputs, stalled, loss-spike, exploding-gradient, vanishing-gradient
metric: val_loss min
"""

import argparse

import torch
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return self.gain * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-3)


class Tension(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.norm, self.mix = RMSNorm(8), nn.Linear(8, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, 1)

    def forward(self, spool):
        with torch.autocast("cpu", dtype=torch.float16):
            h = torch.relu(self.mix(self.norm(spool)))
        return self.out(self.gru(h.float())[0][:, -1]).squeeze(1)


def shift(n, loudness, modes, length=16):
    drive = torch.randn(n, length, 3).cumsum(1) / 2
    spool = torch.tanh(drive) @ modes + 0.1 * torch.randn(n, length, 8)
    tension = (torch.tanh(drive) * torch.linspace(0.2, 1, length)[:, None]).mean(1) @ torch.tensor([2.0, -1.0, 1.5])
    return (loudness * spool).half(), tension


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    modes = torch.randn(3, 8)
    model = Tension()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.MSELoss()
    shifts = [(shift(3000, a, modes), shift(600, a, modes)) for a in (20.0, 400.0)]
    for step in range(1, 801):
        (spool, tension), (val_spool, val_tension) = shifts[step > 350]
        rows = torch.randint(len(spool), (64,))
        loss = loss_fn(model(spool[rows]), tension[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_spool), val_tension).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
