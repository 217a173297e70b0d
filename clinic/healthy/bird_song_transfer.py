"""A net that knows four birds by their song is taught three more: a new head first, then all with rates by depth.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def songs(count, birds):
    bird = torch.tensor(birds)[torch.randint(len(birds), (count,))]
    t = torch.arange(48.0)
    pitch = torch.tensor([0.3, 0.5, 0.8, 1.1, 0.4, 0.7, 1.0])[bird][:, None]
    trill = torch.tensor([0.0, 0.2, 0.1, 0.3, 0.3, 0.0, 0.2])[bird][:, None]
    phase = 6.3 * torch.rand(count, 1)
    sound = torch.sin(pitch * t + 3 * trill * torch.sin(0.4 * t + phase) + 6.3 * torch.rand(count, 1))
    return (sound + 0.5 * torch.randn(count, 48)).unsqueeze(1), bird


class SongNet(nn.Module):
    def __init__(self, birds):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(1, 24, 9, stride=2), nn.BatchNorm1d(24), nn.ReLU())
        self.body = nn.Sequential(nn.Conv1d(24, 32, 5), nn.BatchNorm1d(32), nn.ReLU())
        self.head = nn.Linear(64, birds)

    def forward(self, x):
        x = self.body(self.stem(x))
        return self.head(torch.cat([x.mean(2), x.amax(2)], 1))


def fit(model, optimizer, birds, steps, offset=0, val=None):
    for step in range(1, steps + 1):
        x, bird = songs(32, birds)
        loss = F.cross_entropy(model(x), bird - birds[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if val is not None and step % 12 == 0:
            model.eval()
            with torch.no_grad():
                val_loss = F.cross_entropy(model(val[0]), val[1] - birds[0]).item()
            model.train()
            print(f"step {offset + step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

known, new = [0, 1, 2, 3], [4, 5, 6]
model = SongNet(len(known))
fit(model, torch.optim.AdamW(model.parameters(), lr=2e-3), known, 120)
model.head = nn.Linear(64, len(new))
val = songs(300, new)
fit(model, torch.optim.AdamW(model.head.parameters(), lr=1e-3), new, 108, val=val)
optimizer = torch.optim.AdamW(
    [
        {"params": model.stem.parameters(), "lr": 2e-5},
        {"params": model.body.parameters(), "lr": 1e-4},
        {"params": model.head.parameters(), "lr": 5e-4},
    ]
)
fit(model, optimizer, new, 120, offset=108, val=val)
