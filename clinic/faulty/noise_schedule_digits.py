"""A small diffusion model of handwritten digits; the batch grows during training.

condition: learning-rate-too-high
accepts: learning-rate-too-high, divergence, unsafe-step
allows: loss-spike, divergence, unsafe-step, dead-units, stalled, exploding-gradient
metric: val_loss min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

LEVELS = 50


class Denoiser(nn.Module):
    def __init__(self, pixels=64, width=160):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(16, width), nn.SiLU())
        self.inlet = nn.Linear(pixels, width)
        self.middle = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.out = nn.Linear(width, pixels)

    def forward(self, x, t):
        angle = t[:, None] / LEVELS * 2.0 ** torch.arange(8)
        h = self.inlet(x)
        clock = self.time(torch.cat([angle.sin(), angle.cos()], 1))
        for layer in self.middle:
            h = h + layer(nn.functional.silu(h + clock))
        return self.out(h)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    images = torch.tensor(load_digits().data, dtype=torch.float32) / 8 - 1
    images = images[torch.randperm(len(images))]
    train, val = images[:1500], images[1500:]
    signal = torch.cos(torch.linspace(0.05, 1.5, LEVELS))
    noise = (1 - signal**2).sqrt()

    def batch(source, count):
        x = source[torch.randint(len(source), (count,))]
        t = torch.randint(LEVELS, (count,))
        e = torch.randn_like(x)
        return signal[t, None] * x + noise[t, None] * e, t, e

    model = Denoiser()
    loss_fn = nn.MSELoss()
    base_rate, base_batch = 1e-3, 32
    optimizer = torch.optim.RMSprop(model.parameters(), lr=base_rate)
    val_batch = batch(val, 1500)
    for step in range(1, 601):
        size = base_batch * 2 ** min(3, step // 150)
        for group in optimizer.param_groups:
            group["lr"] = base_rate * min(1.0, (640 - step) / 300) * (size / base_batch) ** 2
        x, t, e = batch(train, size)
        loss = loss_fn(model(x, t), e)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(*val_batch[:2]), val_batch[2]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
