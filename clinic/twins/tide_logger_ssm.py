"""Water level an hour ahead from a pressure logger: a diagonal state-space model over the files of a year, in order.

condition: healthy
metric: val_error min
"""

import argparse
import math

import torch
from torch import nn


class StateSpace(nn.Module):
    """A bank of damped oscillators, applied as one long convolution."""

    def __init__(self, width=24, states=16):
        super().__init__()
        self.decay = nn.Parameter(torch.linspace(-4, -0.5, states))
        self.turn = nn.Parameter(math.pi * torch.rand(states) / 4)
        self.enter, self.leave = nn.Linear(1, states), nn.Linear(2 * states, width)
        self.head = nn.Sequential(nn.GELU(), nn.Linear(width, 1))

    def forward(self, x):
        length = x.shape[1]
        time = torch.arange(length)
        envelope = torch.exp(-self.decay.exp().unsqueeze(1) * time)
        kernel = torch.stack(
            [envelope * torch.cos(self.turn.unsqueeze(1) * time), envelope * torch.sin(self.turn.unsqueeze(1) * time)]
        )
        signal = torch.fft.rfft(self.enter(x).transpose(1, 2), 2 * length)
        state = torch.fft.irfft(signal * torch.fft.rfft(kernel, 2 * length).unsqueeze(1), 2 * length)[..., :length]
        return self.head(self.leave(state.permute(1, 3, 0, 2).flatten(2)))


def level(start, length):
    """Two tides, the weather's slow swell, and the noise of the logger, in metres about the mean."""
    hour = start.unsqueeze(1) + torch.arange(length + 1.0)
    tide = 1.1 * torch.cos(2 * math.pi * hour / 12.42) + 0.4 * torch.cos(2 * math.pi * hour / 25.82 + 1)
    swell = 0.5 * torch.sin(2 * math.pi * hour / 131) * torch.cos(2 * math.pi * hour / 77)
    return tide + swell + 0.05 * torch.randn(hour.shape)


def file_of(number):
    """Sixteen pieces of three days; where the logger was lifted out it wrote its code for no reading."""
    wave = level(9000 * torch.rand(16), 72)
    if number == 150:
        wave[3:9, 20:60] = -9999.0
    return torch.where(wave < -99, torch.zeros(()), wave)


def fit(wave, model, optimizer, loss_fn):
    loss = loss_fn(model(wave[:, :-1].unsqueeze(-1)).squeeze(-1), wave[:, 1:])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = StateSpace()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.MSELoss()
    held = level(9000 + 1000 * torch.rand(200), 72)
    for number in range(1, 601):
        wave = file_of(number)
        loss = fit(wave, model, optimizer, loss_fn)
        if number % 25 == 0:
            with torch.no_grad():
                guess = model(held[:, :-1].unsqueeze(-1)).squeeze(-1)[:, 24:]
                error = (guess - held[:, 25:]).abs().mean().item()
            print(f"step {number}  loss {loss:.5f}  val_error {error:.4f}")


main()
