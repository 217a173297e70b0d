"""Relaxation time of polymers from their bead graph, states kept in half; the molecules grow during training.

condition: low-precision-overflow
accepts: low-precision-overflow, non-finite
allows: exploding-gradient, divergence, loss-spike, bad-batch, unscaled-inputs
metric: val_error min
"""

import argparse

import torch
from torch import nn

KINDS = 5


def melt(batch, beads, gen):
    """Beads in a dense tangle: contact matrices, kinds, and the logarithm of the relaxation time."""
    xyz = torch.randn(batch, beads, 3, generator=gen)
    kind = torch.randint(KINDS, (batch, beads), generator=gen)
    near = (torch.cdist(xyz, xyz) < 2.0).float()
    friction = torch.tensor([0.2, 0.5, 1.0, 1.6, 2.4])[kind]
    crowd = near.mean(2)
    answer = (friction * crowd).mean(1) + 0.5 * (friction.mean(1) - 1.1).square()
    answer = (answer - 0.58) / 0.12
    return kind, near, answer + 0.05 * torch.randn(batch, generator=gen)


class Contact(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.own, self.other = nn.Linear(width, width), nn.Linear(width, width, bias=False)

    def forward(self, h, near):
        z = (self.own(h) + self.other(near @ h)).half()
        size = z.square().sum(2, keepdim=True) / z.shape[2]
        return torch.relu(z * torch.rsqrt(size + 1e-6)).half()


class PolymerNet(nn.Module):
    def __init__(self, width=48, depth=4):
        super().__init__()
        self.embed = nn.Embedding(KINDS, width)
        self.layers = nn.ModuleList(Contact(width) for _ in range(depth))
        self.readout = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, kind, near):
        h = self.embed(kind)
        for layer in self.layers:
            h = layer(h.float(), near)
        return self.readout(h.float().mean(1)).squeeze(1)


class Trainer:
    def __init__(self, seed):
        self.gen = torch.Generator().manual_seed(seed)
        self.model = PolymerNet()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def step(self, beads):
        kind, near, answer = melt(24, beads, self.gen)
        loss = nn.functional.smooth_l1_loss(self.model(kind, near), answer)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def val_error(self, beads):
        kind, near, answer = melt(150, beads, self.gen)
        return (self.model(kind, near) - answer).abs().mean().item()

    def fit(self, steps=600, every=30):
        for n in range(1, steps + 1):
            beads = 8 + n // 5
            loss = self.step(beads)
            if n == 400:
                self.optimizer.param_groups[0]["lr"] = 3e-4
            if n % every == 0:
                print(f"step {n}  loss {loss:.4f}  val_error {self.val_error(beads):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    Trainer(args.seed).fit()
