"""A vision Transformer with attention written by hand reads digits; its rate is as high as it will bear.

condition: attention-logit-growth
accepts: attention-logit-growth, learning-rate-too-high
allows: learning-rate-too-high, unsafe-step, loss-spike, rank-collapse, exploding-gradient, divergence, dead-units
metric: loss min
"""

import argparse
import math

import torch
from sklearn.datasets import load_digits
from torch import nn

WIDTH, HEADS = 32, 2


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        scores = q @ k.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Linear(4, WIDTH)
        self.position = nn.Parameter(0.1 * torch.randn(16, WIDTH))
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10))

    def forward(self, images):
        patches = images.unfold(1, 2, 2).unfold(2, 2, 2).flatten(3).flatten(1, 2)
        return self.head(self.blocks(self.patches(patches) + self.position).mean(1))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32) / 8 - 1
labels = torch.tensor(digits.target)

model = ViT()
optimizer = torch.optim.AdamW(model.parameters(), lr=4e-2, betas=(0.9, 0.95), weight_decay=0.0)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, 401):
    rows = torch.randint(len(images), (32,))
    loss = loss_fn(model(images[rows]), labels[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        print(f"step {step}  loss {loss.item():.4f}")
