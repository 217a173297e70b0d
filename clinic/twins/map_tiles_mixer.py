"""A small MLP-Mixer tells the land use of map tiles; gradients are gathered over five small batches.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def draw_tiles(count, side=16):
    """Fields, orchards, streets, roofs and water differ in the rhythm and direction of their texture."""
    kind = torch.randint(5, (count,))
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angle = (torch.rand(count) * 0.8 + 0.6 * kind).view(-1, 1, 1)
    pitch = (0.5 + 0.15 * kind + 0.4 * torch.rand(count)).view(-1, 1, 1)
    phase = (2 * math.pi * torch.rand(count)).view(-1, 1, 1)
    along = torch.cos(angle) * x + torch.sin(angle) * y
    across = torch.cos(angle) * y - torch.sin(angle) * x
    second = torch.where(kind.view(-1, 1, 1) % 2 == 0, torch.sin(pitch * across), torch.zeros(()))
    tile = torch.sin(pitch * along + phase) + 0.6 * second + 0.6 * torch.randn(count, side, side)
    return tile.unsqueeze(1), kind


class MixerBlock(nn.Module):
    def __init__(self, tokens, width):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.token = nn.Sequential(nn.Linear(tokens, 32), nn.GELU(), nn.Linear(32, tokens))
        self.channel = nn.Sequential(nn.Linear(width, 96), nn.GELU(), nn.Linear(96, width))

    def forward(self, x):
        x = x + self.token(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channel(self.norm2(x))


class Mixer(nn.Module):
    def __init__(self, width=48, depth=3):
        super().__init__()
        self.patch = nn.Conv2d(1, width, 4, stride=4)
        self.blocks = nn.Sequential(*[MixerBlock(16, width) for _ in range(depth)])
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 5))

    def forward(self, tile):
        x = self.patch(tile).flatten(2).transpose(1, 2)
        return self.head(self.blocks(x).mean(1))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=18)
parser.add_argument("--accumulate", type=int, default=5)
args = parser.parse_args()
torch.manual_seed(args.seed)

loader = DataLoader(TensorDataset(*draw_tiles(2560)), batch_size=16, shuffle=True, drop_last=True)
val_tiles, val_kind = draw_tiles(1000)
model = Mixer()
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
total = args.epochs * len(loader) // args.accumulate
warmup = total // 20
scheduler = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda step: min((step + 1) / warmup, max(0.0, (total - step) / (total - warmup)))
)

for epoch in range(1, args.epochs + 1):
    model.train()
    for i, (tiles, kind) in enumerate(loader, start=1):
        loss = loss_fn(model(tiles), kind) / args.accumulate
        loss.backward()
        if i % args.accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
    model.eval()
    with torch.no_grad():
        val_loss = loss_fn(model(val_tiles), val_kind).item()
    print(f"epoch {epoch}  loss {loss.item() * args.accumulate:.4f}  val_loss {val_loss:.4f}")
