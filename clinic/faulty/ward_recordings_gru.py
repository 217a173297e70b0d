"""A GRU tells regular from irregular heartbeats in recordings that come one ward at a time.

condition: bad-batch
accepts: bad-batch
allows: non-finite, divergence, frozen-parameters
metric: accuracy max
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


def recordings(size=32, length=30):
    irregular = torch.randint(2, (size,))
    intervals = 1 + 0.05 * torch.randn(size, length) + 0.3 * irregular[:, None] * torch.randn(size, length)
    changes = 4 * intervals.diff(dim=1, prepend=intervals[:, :1])
    return torch.stack([changes, changes.abs()], dim=2), irregular.float()


wards = [recordings() for _ in range(60)]
lead_off = torch.rand(32, 30) < 0.02
wards[41][0][lead_off] = float("nan")
val_signals, val_labels = recordings(400)


class Rhythm(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 24, batch_first=True)
        self.head = nn.Linear(24, 1)

    def forward(self, x):
        states, _ = self.gru(x)
        return self.head(states.mean(1)).squeeze(1)


model = Rhythm()
optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
loss_fn = nn.BCEWithLogitsLoss()

step = 0
for _ in range(3):
    for signals, labels in wards:
        loss = loss_fn(model(signals), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 6 == 0:
            with torch.no_grad():
                accuracy = ((model(val_signals) > 0).float() == val_labels).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.3f}")
