"""Which two of nine shapes are on a card? A small vision transformer; queries and keys learn at a rate of their own.

condition: attention-logit-growth
accepts: attention-logit-growth, softmax-collapse
allows: learning-rate-too-high, loss-spike, unsafe-step, stalled, divergence, rank-collapse, vanishing-gradient
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def cards(count):
    shapes = torch.randn(9, 4, 4, generator=torch.Generator().manual_seed(7)).sign()
    kinds = torch.rand(count, 9).topk(2, 1).indices
    image = 0.7 * torch.randn(count, 12, 12)
    for n in range(count):
        for kind, cell in zip(kinds[n], torch.randperm(9)[:2].tolist(), strict=True):
            row, column = divmod(cell, 3)
            image[n, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += shapes[kind]
    return image, F.one_hot(kinds, 9).sum(1).float()


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query_key = nn.Linear(width, 2 * width)
        self.value, self.join = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        q, k = self.query_key(x).chunk(2, 2)
        q, k, v = (t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in (q, k, self.value(x)))
        weights = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(3)
        return self.join((weights @ v).transpose(1, 2).flatten(2))


class CardViT(nn.Module):
    def __init__(self, width=48, heads=4, depth=2):
        super().__init__()
        self.patch, self.place = nn.Linear(4, width), nn.Parameter(0.1 * torch.randn(36, width))
        self.attention = nn.ModuleList(Attention(width, heads) for _ in range(depth))
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)) for _ in range(depth)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth))
        self.head = nn.Linear(width, 9)

    def forward(self, image):
        x = image.unfold(1, 2, 2).unfold(2, 2, 2).flatten(3).flatten(1, 2)
        x = self.patch(x) + self.place
        for i, (attention, mlp) in enumerate(zip(self.attention, self.mlp, strict=True)):
            x = x + attention(self.norms[2 * i](x))
            x = x + mlp(self.norms[2 * i + 1](x))
        return self.head(x.mean(1))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = CardViT()
loss_fn = nn.BCEWithLogitsLoss()
images, labels = cards(1000)
val_images, val_labels = cards(200)
attended = [p for name, p in model.named_parameters() if "query_key" in name]
others = [p for name, p in model.named_parameters() if "query_key" not in name]
optimizer = torch.optim.AdamW([{"params": attended, "lr": 5e-2}, {"params": others, "lr": 2e-3}])

for step in range(1, 281):
    rows = torch.randint(1000, (32,))
    loss = loss_fn(model(images[rows]), labels[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(val_images), val_labels).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
