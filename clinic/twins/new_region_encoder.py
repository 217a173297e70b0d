"""Crops from the greenness of a field over the year: an encoder for one region, then moved to a drier one.

condition: healthy
metric: error min
"""

import argparse
from dataclasses import dataclass

import torch
from torch import nn

CROPS, DATES = 5, 24


@dataclass
class Region:
    spring: float
    drought: float

    def fields(self, count):
        crop = torch.randint(CROPS, (count,))
        week = torch.linspace(0, 1, DATES)
        sown = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.25])[crop] + self.spring + 0.03 * torch.randn(count)
        span = torch.tensor([0.3, 0.35, 0.25, 0.3, 0.55])[crop] * (1 - 0.4 * self.drought) + 0.02 * torch.randn(count)
        rise = torch.sigmoid((week - sown.unsqueeze(1)) / 0.04)
        fall = torch.sigmoid((week - (sown + span).unsqueeze(1)) / 0.04)
        green = rise - fall - self.drought * 0.5 * torch.exp(-(((week - 0.55) / 0.08) ** 2))
        cloud = torch.rand(count, DATES) < 0.2
        green = (green + 0.12 * torch.randn(count, DATES)).masked_fill(cloud, 0.0)
        return torch.stack([2 * green, cloud.float()], 2), crop


class CropEncoder(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.lift = nn.Linear(2, width)
        self.date = nn.Parameter(0.2 * torch.randn(DATES, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, CROPS)

    def forward(self, seen):
        return self.head(self.encoder(self.lift(seen) + self.date).mean(1))


class Trainer:
    def __init__(self, model):
        self.model = model
        self.step = 0
        self.loss_fn = nn.CrossEntropyLoss()

    def fit(self, region, steps, rate):
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, weight_decay=0.01)
        warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, 1.0, total_iters=40)
        held = region.fields(1000)
        for _ in range(steps):
            self.step += 1
            seen, crop = region.fields(48)
            loss = self.loss_fn(self.model(seen), crop)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            warmup.step()
            if self.step % 40 == 0:
                print(f"step {self.step}  loss {loss.item():.4f}  error {self.error(*held):.4f}")

    @torch.no_grad()
    def error(self, seen, crop):
        return (self.model(seen).argmax(1) != crop).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    trainer = Trainer(CropEncoder())
    trainer.fit(Region(spring=0.05, drought=0.0), steps=400, rate=1e-3)
    trainer.fit(Region(spring=-0.08, drought=0.8), steps=500, rate=5e-4)


if __name__ == "__main__":
    main()
