"""Who walks over the floor: eight people told by the vibration of their steps with a 1-D convolution.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

PEOPLE = 8


def steps(count, people, g):
    who = torch.randint(PEOPLE, (count,), generator=g)
    t = torch.linspace(0, 1, 64)
    pitch, decay, toe = people[:, who].unsqueeze(2)
    pitch = pitch * (1 + 0.08 * torch.randn(count, 1, generator=g))
    toe = toe + 0.06 * torch.randn(count, 1, generator=g)
    heel = torch.exp(-decay * t) * torch.sin(2 * math.pi * pitch * t)
    late = (t - toe).clamp(min=0)
    push = (late > 0) * torch.exp(-1.4 * decay * late) * torch.sin(1.3 * 2 * math.pi * pitch * late)
    floor = 0.3 * torch.randn(count, 64, generator=g)
    return (heel + push + floor).unsqueeze(1) / 0.5, who


class StepNet(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        blocks, channels = [], 1
        for _ in range(3):
            blocks += [nn.Conv1d(channels, width, 5, padding=2), nn.BatchNorm1d(width), nn.ReLU()]
            blocks += [nn.MaxPool1d(2), nn.Dropout(0.2)]
            channels = width
        self.blocks = nn.Sequential(*blocks, nn.Flatten(), nn.Dropout(0.5))
        self.classify = nn.Linear(width * 8, PEOPLE)

    def forward(self, x):
        return self.classify(self.blocks(x))


def validate(model, x, y):
    model.eval()
    with torch.no_grad():
        logits = model(x)
    return F.cross_entropy(logits, y).item(), (logits.argmax(1) == y).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    people = torch.stack(
        [
            6 + 8 * torch.rand(PEOPLE, generator=g),
            4 + 8 * torch.rand(PEOPLE, generator=g),
            0.3 + 0.3 * torch.rand(PEOPLE, generator=g),
        ]
    )
    x, y = steps(720, people, g)
    val = steps(600, people, g)
    loader = DataLoader(TensorDataset(x, y), batch_size=45, shuffle=True)

    model = StepNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
    for epoch in range(1, 31):
        model.train()
        total = 0.0
        for signal, who in loader:
            loss = F.cross_entropy(model(signal), who)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        scheduler.step()
        val_loss, accuracy = validate(model, *val)
        print(f"epoch {epoch}  loss {total / len(loader):.4f}  val_loss {val_loss:.4f}  val_accuracy {accuracy:.3f}")


main()
