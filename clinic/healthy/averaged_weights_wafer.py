"""Defects on wafers: a small CNN at a high constant rate, and a running average of its weights that is tested.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def wafers(count, side=14):
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    radius, angle = (x**2 + y**2).sqrt(), torch.atan2(y, x)
    kind, turn = torch.randint(4, (count, 1, 1)), 6.283 * torch.rand(count, 1, 1)
    ring = torch.exp(-0.5 * ((radius - 0.8) / 0.12) ** 2)
    scratch = torch.exp(-0.5 * ((x * turn.cos() + y * turn.sin() - 0.2) / 0.1) ** 2)
    spot = torch.exp(-6 * ((x - 0.4 * turn.cos()) ** 2 + (y - 0.4 * turn.sin()) ** 2))
    fan = (torch.cos(3 * (angle - turn)) > 0.6).float()
    chance = 0.08 + 0.4 * torch.where(
        kind == 0, ring, torch.where(kind == 1, scratch, torch.where(kind == 2, spot, fan))
    )
    return (torch.rand(count, side, side) < chance).float().unsqueeze(1), kind.flatten()


class WaferNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.GroupNorm(4, 16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.GroupNorm(4, 32),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.head = nn.Linear(32 * 9, 4)

    def forward(self, x):
        return self.head(self.body(x).flatten(1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    val_x, val_kind = wafers(300)
    model = WaferNet()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.95))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, weight_decay=5e-4)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.05)
    for step in range(1, 301):
        x, kind = wafers(32)
        loss = loss_fn(model(x), kind)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
        if step % 20 == 0:
            with torch.no_grad():
                accuracy = (average(val_x).argmax(1) == val_kind).float().mean()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy.item():.4f}")
