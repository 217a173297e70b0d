"""Noisy seismograms in, clean ones out: an encoder over the samples of a trace, one token a pair of samples.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn


class TraceLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm_a, self.norm_b = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):
        a = self.norm_a(x)
        x = x + self.attention(a, a, a, need_weights=False)[0]
        return x + self.feed(self.norm_b(x))


class Cleaner(nn.Module):
    def __init__(self, tokens, width=32, layers=6):
        super().__init__()
        self.tokens = tokens
        self.embed = nn.Linear(2, width)
        self.place = nn.Parameter(0.5 * torch.randn(tokens, width))
        self.layers = nn.ModuleList([TraceLayer(width, 4) for _ in range(layers)])
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, 2)

    def forward(self, trace):
        x = self.embed(trace.unflatten(1, (self.tokens, 2))) + self.place
        for layer in self.layers:
            x = layer(x)
        return self.out(self.norm(x)).flatten(1)


def traces(count, length=48):
    t = torch.arange(length)
    onset = torch.randint(4, 30, (count, 1))
    after = (t - onset).clamp_min(0)
    clean = 2.5 * torch.exp(-after / 14) * torch.sin(after * (0.4 + 0.6 * torch.rand(count, 1)))
    return clean + 0.5 * torch.randn(count, length), clean


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = Cleaner(24)
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, 1.0, total_iters=20)
loss_fn = nn.MSELoss()
val_noisy, val_clean = traces(128)

for step in range(1, 201):
    noisy, clean = traces(24)
    loss = loss_fn(model(noisy), clean)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 10 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(val_noisy), val_clean).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
