"""Where birds stand in their tree, from measured traits: an encoder into the Poincare ball.

condition: hyperbolic-collapse
accepts: hyperbolic-collapse, loss-term-imbalance
allows: stalled, vanishing-gradient, softmax-collapse
metric: nll min
"""

import argparse

import torch
from torch import nn

LEVELS, BRANCH = 4, 3


def exp_origin(v):
    norm = v.norm(dim=-1, keepdim=True).clamp_min(1e-7)
    return torch.tanh(norm) * v / norm


def distance(a, b):
    gap = (a - b).square().sum(-1)
    room = (1 - a.square().sum(-1)) * (1 - b.square().sum(-1))
    return torch.acosh(1 + 2 * gap / room.clamp_min(1e-6) + 1e-6)


class TraitEncoder(nn.Module):
    def __init__(self, traits, kinds, size=4):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(traits, 64), nn.ReLU(), nn.Linear(64, size))
        self.centre = nn.Parameter(0.3 * torch.randn(kinds, size))

    def forward(self, x):
        point, centre = exp_origin(self.body(x)), exp_origin(self.centre)
        return -distance(point.unsqueeze(1), centre.unsqueeze(0)), point, centre


def birds():
    """Traits of the species drift apart along the tree; three of a genus are close."""
    traits = torch.zeros(1, 24)
    for level in range(LEVELS):
        traits = (traits.unsqueeze(1) + torch.randn(len(traits), BRANCH, 24) * 0.75**level).flatten(0, 1)
    return traits


def shrinkage(epoch):
    """Keeps points off the border of the ball, where distances lose their digits."""
    return 0.0 if epoch <= 8 else 2.0 * min(1.0, (epoch - 8) / 6)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    species = birds()
    model = TraitEncoder(24, len(species))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loss_fn = nn.CrossEntropyLoss()
    exam = torch.randint(0, len(species), (1500,))
    exam_x = species[exam] + 0.3 * torch.randn(1500, 24)
    for epoch in range(1, 26):
        for _ in range(40):
            kind = torch.randint(0, len(species), (96,))
            scores, point, centre = model(species[kind] + 0.3 * torch.randn(96, 24))
            loss = loss_fn(scores, kind)
            loss = loss + shrinkage(epoch) * (distance(point, 0 * point).mean() + distance(centre, 0 * centre).mean())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            nll = loss_fn(model(exam_x)[0], exam).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  nll {nll:.4f}")


if __name__ == "__main__":
    main()
