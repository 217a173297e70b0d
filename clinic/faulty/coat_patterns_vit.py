"""Spots, stripes, rosettes: a small vision Transformer names the coat pattern of a cat.

condition: epsilon-dominated-update
accepts: epsilon-dominated-update, learning-rate-too-low
allows: stalled
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

SIZE, PATCH, COATS = 20, 4, 6


def coats(count, generator):
    coat = torch.randint(COATS, (count,), generator=generator)
    yy, xx = torch.meshgrid(torch.arange(SIZE).float(), torch.arange(SIZE).float(), indexing="ij")
    c = coat[:, None, None]
    shift = 6.283 * torch.rand(2, count, 1, 1, generator=generator)
    pitch = 0.9 + 0.35 * torch.rand(count, 1, 1, generator=generator)
    u, v = pitch * xx + shift[0], pitch * yy + shift[1]
    kinds = torch.stack(
        [
            torch.sin(u) + 0 * v,
            torch.sin(u) * torch.sin(v),
            torch.sin(u + v),
            torch.cos(2 * u) * torch.sin(v),
            torch.sin(v) + 0 * u,
            torch.sin(u - 0.5 * v),
        ],
        1,
    )
    image = kinds[torch.arange(count), coat] + 0 * c
    return 1.4 * (image + 0.7 * torch.randn(count, SIZE, SIZE, generator=generator)), coat


class Layer(nn.Module):
    def __init__(self, width, heads=4):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        h = self.norm1(x)
        x = x + self.attend(h, h, h, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class CoatViT(nn.Module):
    def __init__(self, width=48, depth=3):
        super().__init__()
        self.patch = nn.Linear(PATCH * PATCH, width)
        self.cls = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.place = nn.Parameter(0.02 * torch.randn((SIZE // PATCH) ** 2 + 1, width))
        self.layers = nn.Sequential(*[Layer(width) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, COATS)

    def forward(self, image):
        p = F.unfold(image[:, None], PATCH, stride=PATCH).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(p), -1, -1), self.patch(p)], 1) + self.place
        return self.head(self.norm(self.layers(x)[:, 0]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x_val, y_val = coats(600, generator)
    model = CoatViT()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), eps=0.1, weight_decay=0.05)
    steps = 240
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1, (s + 1) / 40) * (1 - 0.95 * s / steps))
    for step in range(1, steps + 1):
        x, y = coats(40, generator)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 15 == 0:
            with torch.no_grad():
                val = F.cross_entropy(model(x_val), y_val).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val:.4f}")


if __name__ == "__main__":
    main()
