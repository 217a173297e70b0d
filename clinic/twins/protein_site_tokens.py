"""Binding residues of a peptide: a residue binds where its motif partner lies a few places away.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn

AMINO, LENGTH = 20, 24


def peptides(n, gen):
    seq = torch.randint(AMINO, (n, LENGTH), generator=gen)
    acid, base = seq < 4, (seq >= 4) & (seq < 9)
    bind = torch.zeros(n, LENGTH)
    for gap in (3, 4):
        pair = acid[:, :-gap] & base[:, gap:]
        bind[:, :-gap] += pair
        bind[:, gap:] += pair
    return seq, bind.clamp(max=1)


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn = nn.MultiheadAttention(d, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class SiteTagger(nn.Module):
    def __init__(self, d=48, depth=4):
        super().__init__()
        self.residue = nn.Embedding(AMINO, d)
        self.place = nn.Parameter(torch.randn(LENGTH, d) * 0.5)
        self.blocks = nn.Sequential(*(Block(d, 4) for _ in range(depth)))
        self.norm = nn.LayerNorm(d)
        self.bind = nn.Linear(d, 1)

    def forward(self, seq):
        return self.bind(self.norm(self.blocks(self.residue(seq) + self.place))).squeeze(2)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
gen = torch.Generator().manual_seed(seed)
model = SiteTagger()
loss_fn = nn.BCEWithLogitsLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
scheduler = torch.optim.lr_scheduler.SequentialLR(
    optimizer,
    [
        torch.optim.lr_scheduler.LinearLR(optimizer, 0.02, 1.0, 40),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 360),
    ],
    [40],
)
val_seq, val_bind = peptides(500, gen)
for step in range(1, 401):
    seq, bind = peptides(32, gen)
    loss = loss_fn(model(seq), bind)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 20 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(val_seq), val_bind).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
