"""A denoising autoencoder cleans traces of hand tremor; it disturbs its own inputs while it trains.

From a third of the run on, the best weights so far are kept.

condition: eval-mode-training
accepts: eval-mode-training
allows: overfitting, divergence, stalled
metric: error min
"""

import argparse
import copy
import math

import torch
from torch import nn

LENGTH = 64


def tremor(count, generator):
    """Two hand movements: a slow reach and a tremor of four to seven periods that swells and fades."""
    time = torch.linspace(0, 1, LENGTH)
    reach = torch.randn(count, 1, generator=generator) * torch.sigmoid(
        8 * (time - 0.3 - 0.4 * torch.rand(count, 1, generator=generator))
    )
    pace = 4 + 3 * torch.rand(count, 1, generator=generator)
    phase = 2 * math.pi * torch.rand(count, 1, generator=generator)
    swell = torch.exp(-(((time - torch.rand(count, 1, generator=generator)) / 0.4) ** 2))
    return reach + swell * torch.sin(2 * math.pi * pace * time + phase)


class DenoisingAutoencoder(nn.Module):
    def __init__(self, noise=0.5, width=160):
        super().__init__()
        self.noise = noise
        self.net = nn.Sequential(
            nn.Linear(LENGTH, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, LENGTH)
        )

    def denoise(self, trace):
        return trace + self.net(trace)

    def forward(self, trace):
        if self.training:
            trace = trace + self.noise * torch.randn_like(trace)
        return self.denoise(trace)


@torch.no_grad()
def keep_best(model, loss_fn, traces, clean, best):
    model.eval()
    error = loss_fn(model(traces), clean).item()
    if error < best[0]:
        best = (error, copy.deepcopy(model.state_dict()))
    return best


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1200)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    train = tremor(4000, generator)
    clean = tremor(500, generator)
    noisy = clean + 0.5 * torch.randn(clean.shape, generator=generator)

    model = DenoisingAutoencoder()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    best = (float("inf"), None)
    for step in range(1, arguments.steps + 1):
        batch = train[torch.randint(len(train), (64,), generator=generator)]
        loss = loss_fn(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                error = loss_fn(model.denoise(noisy), clean).item()
            print(f"step {step:4d}  loss {loss.item():.4f}  error {error:.4f}")
            if step >= arguments.steps // 3:
                best = keep_best(model, loss_fn, noisy, clean, best)
    print(f"kept weights with error {best[0]:.4f}")


if __name__ == "__main__":
    main()
