"""Two looms share a network of four experts; the gate between them is sharpened as the looms are learned.

condition: softmax-collapse
accepts: softmax-collapse, attention-logit-growth
allows: stalled, frozen-parameters, vanishing-gradient, dead-units, detached-parameters
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F


class Looms(nn.Module):
    def __init__(self, inputs=5, width=16, experts=4):
        super().__init__()
        self.gru = nn.GRU(inputs, width, batch_first=True)
        self.gate = nn.Linear(width, experts)
        self.experts = nn.Linear(width, experts)
        self.sharpness = 1.0

    def forward(self, run):
        state = self.gru(run)[0][:, -1]
        share = torch.softmax(self.sharpness * self.gate(state), 1)
        return (share * self.experts(state)).sum(1)


def runs(n, second, length=10):
    run = torch.randn(n, length, 5)
    mean = run.mean(1) * length**0.5
    loom = mean[:, 1] > 0 if second else mean[:, 0] > 0
    one, two = mean[:, 2] - mean[:, 3] + 1, 0.8 * mean[:, 4] - mean[:, 2] - 1
    return run, torch.where(loom, one, two) + 0.05 * torch.randn(n)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Looms()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    data = [(runs(6000, late), runs(1000, late)) for late in (False, True)]
    for step in range(1, 1201):
        (run, pull), (val_run, val_pull) = data[step > 600]
        rows = torch.randint(len(run), (64,))
        loss = F.mse_loss(model(run[rows]), pull[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.sharpness = min(1e4, model.sharpness * 1.015)
        if step % 30 == 0:
            with torch.no_grad():
                print(
                    f"step {step}  loss {loss.item():.4f}  val_loss {F.mse_loss(model(val_run), val_pull).item():.4f}"
                )


main()
