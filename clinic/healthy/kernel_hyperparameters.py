"""Soil moisture over a field by a Gaussian process whose lengths and noise maximise the evidence.

condition: healthy
infos: stale-batch
metric: val_nll min
"""

import argparse
import math

import torch
from torch import nn


class Field(nn.Module):
    """Zero-mean process with a Matern-3/2 kernel, a length per coordinate."""

    def __init__(self, dims):
        super().__init__()
        self.log_length = nn.Parameter(torch.zeros(dims))
        self.log_size = nn.Parameter(torch.tensor(0.0))
        self.log_noise = nn.Parameter(torch.tensor(-1.0))
        self.mean = nn.Parameter(torch.tensor(0.0))

    def kernel(self, a, b):
        gap = (a[:, None] - b) / self.log_length.exp()
        r = (gap.pow(2).sum(-1) + 1e-12).sqrt() * 3**0.5
        return (2 * self.log_size).exp() * (1 + r) * (-r).exp()

    def factor(self, x):
        return torch.linalg.cholesky(self.kernel(x, x) + (2 * self.log_noise).exp() * torch.eye(len(x)))

    def forward(self, x, y):
        """Negative log evidence per reading."""
        low = self.factor(x)
        white = torch.linalg.solve_triangular(low, (y - self.mean)[:, None], upper=False)
        return (0.5 * white.pow(2).sum() + low.diagonal().log().sum()) / len(x) + 0.5 * math.log(2 * math.pi)

    @torch.no_grad()
    def val_nll(self, x, y, x_new, y_new):
        low = self.factor(x)
        cross = torch.linalg.solve_triangular(low, self.kernel(x, x_new), upper=False)
        white = torch.linalg.solve_triangular(low, (y - self.mean)[:, None], upper=False)
        mean = self.mean + (cross.T @ white)[:, 0]
        var = (2 * self.log_size).exp() + (2 * self.log_noise).exp() - cross.pow(2).sum(0)
        return (0.5 * (y_new - mean) ** 2 / var + 0.5 * (2 * math.pi * var).log()).mean().item()


def probes(count, rng):
    """East, north, depth; the moisture hardly depends on the east within the field."""
    x = 4 * torch.rand(count, 3, generator=rng) - 2
    wet = (
        0.2 * torch.sin(0.5 * x[:, 0])
        + torch.sin(2.2 * x[:, 1]) * torch.exp(-0.3 * x[:, 2])
        + 0.5 * torch.tanh(2 * x[:, 2])
    )
    return x, 0.3 * wet + 0.02 * torch.randn(count, generator=rng)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.float64)
    rng = torch.Generator().manual_seed(seed)
    x, y = probes(200, rng)
    x_val, y_val = probes(400, rng)
    model = Field(3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.06)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 240)
    for step in range(1, 241):
        optimizer.zero_grad()
        loss = model(x, y)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 12 == 0:
            print(
                f"step {step}  loss {loss.item():.4f}  noise {model.log_noise.exp().item():.4f}  val_nll {model.val_nll(x, y, x_val, y_val):.4f}"
            )


if __name__ == "__main__":
    main()
