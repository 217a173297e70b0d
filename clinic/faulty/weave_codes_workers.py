"""Two workers, each at a mill of its own, learn together to read the kind of weave from a patch of cloth.

condition: rank-desync
accepts: rank-desync
allows: divergence, loss-spike, overfitting, stalled
metric: accuracy max
ranks: 2
"""

import argparse

import torch
import torch.distributed as dist
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
torch.set_num_threads(1)
dist.init_process_group("gloo")
rank, workers = dist.get_rank(), dist.get_world_size()

STEPS, THAW, KINDS, SIDE = 600, 200, 8, 10
draw = torch.Generator().manual_seed(100 * args.seed + rank)
warp, weft = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")


def cloth(count, kinds):
    """Patches of plain, basket, twill, satin, rib and herringbone weaves from any place of the cloth."""
    kind = kinds[torch.randint(len(kinds), (count,), generator=draw)]
    a, b = torch.randint(0, 24, (2, count, 1, 1), generator=draw)
    x, y = warp + a, weft + b
    weaves = torch.stack(
        [
            (x + y) % 2 == 0,
            (x // 2 + y // 2) % 2 == 0,
            (x + y) % 4 < 2,
            (x - y) % 4 < 2,
            (x + 2 * y) % 5 == 0,
            (x // 2 + y) % 2 == 0,
            (x + y // 2) % 2 == 0,
            (x + (y % 8 - 4).abs()) % 4 < 2,
        ],
        1,
    )
    patch = weaves[torch.arange(count), kind].float() * 2 - 1
    return (patch + 0.8 * torch.randn(patch.shape, generator=draw))[:, None], kind


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 24, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        )
        self.head = nn.Sequential(nn.Linear(96, 48), nn.ReLU(), nn.Linear(48, KINDS))

    def forward(self, patch):
        return self.head(self.trunk(patch))


model = Reader()
model.trunk.requires_grad_(False)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.CrossEntropyLoss()
shared = [p for p in model.parameters() if p.requires_grad]
mill = torch.arange(KINDS).chunk(workers)[rank]
test_x, test_y = cloth(500, torch.arange(KINDS))

for step in range(STEPS):
    if step == THAW:
        model.trunk.requires_grad_(True)
    patches, kinds = cloth(32, mill)
    loss = loss_fn(model(patches), kinds)
    optimizer.zero_grad()
    loss.backward()
    flat = torch.cat([p.grad.flatten() for p in shared])
    dist.all_reduce(flat)
    for p, part in zip(shared, (flat / workers).split([p.numel() for p in shared])):
        p.grad.copy_(part.view_as(p))
    optimizer.step()
    if step % 20 == 0 and rank == 0:
        with torch.no_grad():
            accuracy = (model(test_x).argmax(1) == test_y).float().mean()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy.item():.4f}", flush=True)

dist.destroy_process_group()
