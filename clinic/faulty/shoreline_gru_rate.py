"""Where does the shoreline go? A GRU cell follows it year by year from waves and sand brought; its rate is warmed up.

condition: learning-rate-too-high
accepts: learning-rate-too-high, unsafe-step, divergence
allows: loss-spike, saturated-units, stalled, bptt-explosion, exploding-gradient, vanishing-gradient
metric: val_error min
"""

import argparse

import torch
from torch import nn


def coast(count, years=18):
    waves = torch.randn(count, years, 1)
    sand = torch.randn(count, years, 1)
    place, places = torch.zeros(count, 1), []
    for year in range(years):
        pull = 0.5 * torch.tanh(sand[:, year]) - 0.3 * waves[:, year] * (place + 1).sigmoid()
        place = 0.9 * place + pull
        places.append(place)
    return torch.cat([waves, sand], 2), torch.cat(places, 1)


class Shoreline(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.cell = nn.GRUCell(2, hidden)
        self.read = nn.Linear(hidden, 1)
        self.hidden = hidden

    def forward(self, drivers):
        state = drivers.new_zeros(len(drivers), self.hidden)
        out = []
        for year in range(drivers.shape[1]):
            state = self.cell(drivers[:, year], state)
            out.append(self.read(state))
        return torch.cat(out, 1)


def train(model, steps, peak):
    optimizer = torch.optim.RMSprop(model.parameters(), lr=peak)
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, 1.0, total_iters=steps // 2)
    loss_fn = nn.SmoothL1Loss()
    val_x, val_y = coast(200)
    for step in range(1, steps + 1):
        x, y = coast(32)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        warm.step()
        if step % 8 == 0:
            with torch.no_grad():
                val_error = (model(val_x) - val_y).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    train(Shoreline(), steps=280, peak=0.15)
