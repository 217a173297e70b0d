"""Which particle made the jet? Linear attention over the set of its fragments.

condition: exploding-gradient
accepts: exploding-gradient
allows: loss-spike, divergence, learning-rate-too-high, unsafe-step, stalled, attention-logit-growth
metric: accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

FRAGMENTS = 30


def jets(count):
    """Light quark, gluon, W boson, top quark: one broad, two or three narrow prongs, with soft radiation around."""
    kind = torch.randint(4, (count,))
    prongs = torch.tensor([1, 1, 2, 3])[kind]
    spread = torch.tensor([0.08, 0.25, 0.08, 0.10])[kind].view(-1, 1, 1)
    angle = 6.2832 * torch.rand(count, 1) + 2.0944 * torch.arange(3) * torch.where(prongs == 2, 1.5, 1.0).unsqueeze(1)
    reach = torch.where(prongs > 1, 0.35 + 0.15 * torch.rand(count), 0.0).view(-1, 1, 1)
    axes = reach * torch.stack([angle.cos(), angle.sin()], 2)
    mine = (torch.rand(count, FRAGMENTS) * prongs.unsqueeze(1)).long()
    place = axes.gather(1, mine.unsqueeze(2).expand(-1, -1, 2)) + spread * torch.randn(count, FRAGMENTS, 2)
    soft = torch.rand(count, FRAGMENTS, 1) < 0.2
    place = torch.where(soft, 0.5 * torch.randn_like(place), place)
    momentum = torch.where(soft, -1.5, 0.3) + 0.7 * torch.randn(count, FRAGMENTS, 1)
    return torch.cat([place / 0.3, momentum], 2), kind


class LinearAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width)

    def split(self, x):
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def forward(self, x):
        q, k = F.elu(self.split(self.q(x))) + 1, F.elu(self.split(self.k(x))) + 1
        context = k.transpose(2, 3) @ self.split(self.v(x))
        mixed = q @ context
        return self.out(mixed.transpose(1, 2).flatten(2))


class Tagger(nn.Module):
    def __init__(self, width=32, heads=4, depth=4):
        super().__init__()
        self.inp = nn.Linear(3, width)
        self.mix = nn.ModuleList([LinearAttention(width, heads) for _ in range(depth)])
        self.mlp = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, 64), nn.SiLU(), nn.Linear(64, width)) for _ in range(depth)]
        )
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        x = self.inp(x)
        for mix, mlp in zip(self.mix, self.mlp, strict=False):
            x = x + mix(x)
            x = x + mlp(x)
        return self.head(x.mean(1))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
model = Tagger()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
exam, truth = jets(800)
for step in range(1, 321):
    fragments, kind = jets(64)
    loss = F.cross_entropy(model(fragments), kind)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            accuracy = (model(exam).argmax(1) == truth).float().mean().item()
        print(f"step {step}  loss {loss.item():.4g}  accuracy {accuracy:.4f}")
