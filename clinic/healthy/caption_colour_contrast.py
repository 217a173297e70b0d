"""Captions such as 'a pale green square' and swatches find each other: two towers and a learned temperature.

condition: healthy
metric: recall max
"""

import argparse
import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn

HUES = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
TONES = ("pale", "plain", "dark")
SHAPES = ("square", "disc", "cross", "stripe")
WORDS = ("a", *HUES, *TONES, *SHAPES)
ALL = list(itertools.product(range(len(HUES)), range(len(TONES)), range(len(SHAPES))))


def caption(which):
    ids = [[0, 1 + len(HUES) + t, 1 + h, 1 + len(HUES) + len(TONES) + s] for h, t, s in (ALL[i] for i in which)]
    return torch.tensor(ids)


def swatch(which, side=8):
    h, t, s = torch.tensor([ALL[i] for i in which]).T
    angle = 2 * math.pi * (h / len(HUES) + 0.025 * torch.randn(len(h)))
    light = torch.tensor([0.8, 0.5, 0.2])[t] + 0.05 * torch.randn(len(h))
    strong = torch.tensor([0.25, 0.45, 0.25])[t]
    shift = torch.tensor([0.0, 2 * math.pi / 3, 4 * math.pi / 3])
    rgb = light.unsqueeze(1) + strong.unsqueeze(1) * torch.cos(angle.unsqueeze(1) - shift)
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij")
    masks = torch.stack(
        [(x.abs() < 0.7) & (y.abs() < 0.7), x**2 + y**2 < 0.6, (x.abs() < 0.25) | (y.abs() < 0.25), y.abs() < 0.45]
    ).float()
    picture = masks[s].unsqueeze(1) * (rgb.view(-1, 3, 1, 1) - 0.5)
    return picture / 0.3 + 0.15 * torch.randn(len(h), 3, side, side)


class TwoTowers(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.word = nn.Embedding(len(WORDS), width)
        self.place = nn.Parameter(0.02 * torch.randn(4, width))
        self.reader = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True, norm_first=True)
        self.viewer = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(512, width),
        )
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, words, pictures):
        text = F.normalize(self.reader(self.word(words) + self.place).mean(1), dim=1)
        image = F.normalize(self.viewer(pictures), dim=1)
        return self.log_scale.exp().clamp(max=100) * text @ image.T


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
model = TwoTowers()
decayed = [p for p in model.parameters() if p.dim() > 1]
free = [p for p in model.parameters() if p.dim() <= 1]
optimizer = torch.optim.AdamW(
    [{"params": decayed, "weight_decay": 0.1}, {"params": free, "weight_decay": 0.0}], lr=1e-3
)
steps = 320
warmup = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda s: s / 50 if s < 50 else 0.5 * (1 + math.cos(math.pi * (s - 50) / (steps - 50)))
)
for step in range(1, steps + 1):
    which = torch.randperm(len(ALL))[:48].tolist()
    logits = model(caption(which), swatch(which))
    same = torch.arange(len(which))
    loss = (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    warmup.step()
    if step % 20 == 0:
        with torch.no_grad():
            everything = list(range(len(ALL)))
            recall = (model(caption(everything), swatch(everything)).argmax(1) == torch.arange(len(ALL))).float().mean()
        print(f"step {step}  loss {loss.item():.4f}  recall {recall.item():.4f}")
