"""The pitch of a hum from its autocorrelation: a network kept in bfloat16 to fit on a small device.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

LAGS = 40


def hums(n):
    pitch = torch.rand(n, 1)
    period = 6 + 14 * pitch
    lag = torch.arange(1, LAGS + 1)
    ridge = torch.cos(6.2832 * lag / period) * torch.exp(-lag * (0.02 + 0.03 * torch.rand(n, 1)))
    return ridge + 0.1 * torch.randn(n, LAGS), 4 * pitch - 2


def pitch_net(width=96):
    return nn.Sequential(
        nn.Linear(LAGS, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.LayerNorm(width), nn.Linear(width, 1)
    )


class Fit:
    def __init__(self, steps=800, dtype=torch.float32):
        self.steps, self.dtype = steps, dtype
        self.model = pitch_net().to(dtype)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=2e-3)
        self.schedule = torch.optim.lr_scheduler.PolynomialLR(self.optimizer, steps, power=2)
        self.loss_fn = nn.MSELoss()

    def predict(self, x):
        return self.model(x.to(self.dtype)).float()

    def run(self, val):
        for step in range(1, self.steps + 1):
            x, y = hums(64)
            loss = self.loss_fn(self.predict(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            if step % 32 == 0:
                with torch.no_grad():
                    val_error = (self.predict(val[0]) - val[1]).square().mean().sqrt().item()
                print(f"step {step}  loss {loss.item():.5f}  val_error {val_error:.5f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    Fit().run(hums(1000))
