"""The hum of tractors: a network trained on one make is tuned for another, head first, then all at a small rate.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

tones = 0.15 + 0.2 * torch.rand(8, 3)
t = torch.arange(96.0)


def hums(count, shift):
    kind = torch.randint(8, (count,))
    phase = 6.28 * torch.rand(count, 3, 1)
    pitch = tones[kind, :, None] * shift * 6.28 * (1 + 0.01 * torch.randn(count, 1, 1))
    sound = torch.sin(pitch * t + phase).sum(1) / 1.2
    return (sound + 0.4 * torch.randn(count, 96)).unsqueeze(1), kind


class Hum(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv1d(1, 32, 15, stride=2),
            nn.ReLU(),
            nn.Conv1d(32, 48, 7, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.LayerNorm(48), nn.Linear(48, 8))

    def forward(self, x):
        return self.head(self.backbone(x))


model, loss_fn = Hum(), nn.CrossEntropyLoss()
step = 0


def stage(optimizer, data, val, steps, every):
    global step
    for _ in range(steps):
        rows = torch.randint(len(data[1]), (40,))
        loss = loss_fn(model(data[0][rows]), data[1][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % every == 0:
            with torch.no_grad():
                val_error = (model(val[0]).argmax(1) != val[1]).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


old, new, val = hums(2500, 1.0), hums(1000, 1.08), hums(600, 1.08)
stage(torch.optim.AdamW(model.parameters(), lr=2e-3), old, val, 400, 20)
model.backbone.requires_grad_(False)
model.head[1].reset_parameters()
stage(torch.optim.AdamW(model.head.parameters(), lr=4e-3), new, val, 140, 20)
model.backbone.requires_grad_(True)
groups = [{"params": model.backbone.parameters(), "lr": 3e-4}, {"params": model.head.parameters()}]
stage(torch.optim.AdamW(groups, lr=1e-3), new, val, 200, 20)
