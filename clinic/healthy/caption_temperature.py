"""Pictures and their captions in one space: two towers, a learned temperature, and a rate that warms up from nothing.

condition: healthy
metric: recall max
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

COLOURS, SHAPES, SIDE = 6, 4, 12


def scenes(n, rng):
    """Two objects, left and right; the caption names colour and shape of each, with filler words around."""
    colour = torch.randint(0, COLOURS, (n, 2), generator=rng)
    shape = torch.randint(0, SHAPES, (n, 2), generator=rng)
    r = torch.arange(SIDE, dtype=torch.float32)
    y, x = r.view(1, -1, 1), r.view(1, 1, -1)
    palette = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1.0]])
    picture = torch.zeros(n, 3, SIDE, SIDE)
    for k, centre in enumerate((3, 8)):
        dy = y - 5.5 - torch.randint(-1, 2, (n, 1, 1), generator=rng)
        dx = x - centre + torch.zeros_like(dy)
        forms = torch.stack(
            [
                (dy.abs() < 2) & (dx.abs() < 2),
                dy**2 + dx**2 < 5,
                (dy.abs() < 1) | (dx.abs() < 1),
                dy.abs() + dx.abs() < 2.5,
            ],
            1,
        )
        form = forms[torch.arange(n), shape[:, k]].float() * (dx.abs() < 2.6) * (dy.abs() < 3)
        picture += palette[colour[:, k]].view(n, 3, 1, 1) * form.unsqueeze(1)
    words = torch.stack([colour[:, 0], 6 + shape[:, 0], colour[:, 1], 6 + shape[:, 1]], 1)
    filler = torch.randint(10, 16, (n, 3), generator=rng)
    caption = torch.cat([filler[:, :1], words[:, :2], filler[:, 1:2], words[:, 2:], filler[:, 2:]], 1)
    return 2 * picture - 0.4 + 0.3 * torch.randn(picture.shape, generator=rng), caption


class TwoTowers(nn.Module):
    def __init__(self, size=48):
        super().__init__()
        self.eye = nn.Sequential(
            nn.Conv2d(3, 24, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(24, 48, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(48 * 9, size),
        )
        self.word = nn.Embedding(16, 32)
        self.ear = nn.GRU(32, 64, batch_first=True)
        self.say = nn.Linear(64, size)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, picture, caption):
        a = F.normalize(self.eye(picture), dim=1)
        b = F.normalize(self.say(self.ear(self.word(caption))[1][0]), dim=1)
        return self.log_scale.clamp(max=math.log(100)).exp() * a @ b.T


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    val = scenes(256, rng)
    same = (val[1][:, None, [1, 2, 4, 5]] == val[1][None][:, :, [1, 2, 4, 5]]).all(2)
    model = TwoTowers()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.05)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min(s / 60, 1) * 0.5 * (1.02 + math.cos(math.pi * s / 500))
    )
    for step in range(1, 501):
        logits = model(*scenes(96, rng))
        truth = torch.arange(len(logits))
        loss = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        if step % 20 == 0:
            with torch.no_grad():
                best = model(*val).argmax(1)
            recall = same[torch.arange(256), best].float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  scale {model.log_scale.exp().item():.1f}  recall {recall:.4f}")


main()
