"""Each token of a random sequence is tagged with whether it is larger than its left neighbour, by a stack of attention.

condition: healthy
metric: loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

vocabulary, length, dim = 12, 16, 32


def get_batch(size=24):
    tokens = torch.randint(vocabulary, (size, length))
    left = torch.roll(tokens, 1, dims=1)
    return tokens, (tokens > left).long()


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, 4, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x):
        h = self.norm1(x)
        x = x + self.attention(h, h, h, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class Tagger(nn.Module):
    def __init__(self, depth=5):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, dim)
        self.position = nn.Parameter(torch.randn(length, dim))
        self.layers = nn.Sequential(*[Layer() for _ in range(depth)])
        self.head = nn.Linear(dim, 2)

    def forward(self, tokens):
        return self.head(self.layers(self.embed(tokens) + self.position))


model = Tagger()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
loss_fn = nn.CrossEntropyLoss()

running = 0.0
for step in range(1, 241):
    tokens, tags = get_batch()
    loss = loss_fn(model(tokens).flatten(0, 1), tags.flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 8 == 0:
        print(f"step {step}  loss {running / 8:.4f}")
        running = 0.0
