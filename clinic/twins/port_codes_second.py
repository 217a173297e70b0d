"""What kind of ship it is, from the ports where it called: one register first, then a second one joins.

condition: healthy
metric: error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

PORTS, KINDS, LONGEST = 30, 5, 12

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

taste = (1.3 * torch.randn(KINDS, PORTS)).softmax(1)


class Register:
    def __init__(self, calls_per_year, shortest):
        self.calls_per_year, self.shortest = calls_per_year, shortest

    def ships(self, count):
        """Ports (0 is padding), days in port, and the kind of every ship."""
        kind = torch.randint(KINDS, (count,))
        ports = 1 + torch.multinomial(taste[kind], LONGEST, replacement=True)
        calls = torch.poisson(torch.full((count,), self.calls_per_year)).long()
        calls = calls.clamp(self.shortest, LONGEST)
        ports = ports.masked_fill(torch.arange(LONGEST) >= calls.unsqueeze(1), 0)
        days = torch.exp(0.4 * torch.randn(count, LONGEST)) * (1 + 0.5 * (kind % 2).unsqueeze(1)) - 1.2
        return ports, days * (ports > 0), kind


class AttentionPool(nn.Module):
    """One learned question to all calls of a ship."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.randn(heads, width // heads) / (width // heads) ** 0.5)
        self.key, self.value = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x, padded):
        key, value = (f(x).unflatten(2, (self.heads, -1)) for f in (self.key, self.value))
        score = (key * self.query).sum(-1).masked_fill(padded.unsqueeze(2), float("-inf"))
        return (score.softmax(1).unsqueeze(-1) * value).sum(1).flatten(1)


class ShipNet(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.port = nn.Embedding(PORTS + 1, width, padding_idx=0)
        self.days = nn.Linear(1, width)
        self.mix = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())
        self.pool = AttentionPool(width, 4)
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, KINDS))

    def forward(self, ports, days):
        x = self.mix(self.port(ports) + self.days(days.unsqueeze(2)))
        return self.head(self.pool(x, ports == 0))


first, second = Register(calls_per_year=7.0, shortest=1), Register(calls_per_year=6.5, shortest=1)
held = Register(calls_per_year=7.0, shortest=1).ships(2000)
model = ShipNet()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)

for step in range(1, 1201):
    batches = [first.ships(32), (second if step > 500 else first).ships(32)]
    ports, days, kind = (torch.cat(part) for part in zip(*batches, strict=True))
    loss = F.cross_entropy(model(ports, days), kind)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    if step % 50 == 0:
        with torch.no_grad():
            wrong = (model(*held[:2]).argmax(1) != held[2]).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  error {wrong:.4f}")
