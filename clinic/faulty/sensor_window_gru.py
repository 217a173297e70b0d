"""A GRU tells which of three machines a window of a sensor's readings comes from; each window is standardised.

condition: non-finite
accepts: non-finite, bad-batch
metric: accuracy max
"""

import argparse
import math

import torch
from torch import nn

LENGTH = 20


def windows(size):
    """Readings of machines that hum at their own rhythm; now and then a sensor is stuck at one value."""
    machine = torch.randint(3, (size,))
    t = torch.arange(LENGTH) + 20 * torch.rand(size, 1)
    period = torch.tensor([5.0, 7.0, 11.0])[machine, None]
    x = 20 + 3 * torch.rand(size, 1) * torch.sin(2 * math.pi * t / period) + 0.3 * torch.randn(size, LENGTH)
    stuck = torch.rand(size) < 0.0002
    x[stuck] = x[stuck, :1].round()
    return x, machine


def standardise(x):
    return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 32, batch_first=True)
        self.head = nn.Linear(32, 3)

    def forward(self, x):
        out, _ = self.gru(standardise(x).unsqueeze(-1))
        return self.head(out.mean(1))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = Classifier()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, 401):
    x, machine = windows(64)
    logits = model(x)
    loss = loss_fn(logits, machine)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 20 == 0:
        accuracy = (logits.argmax(1) == machine).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
