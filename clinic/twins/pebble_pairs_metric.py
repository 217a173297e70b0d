"""Pebbles of one quarry lie close together: a metric learned from pairs, with two catalogues made one on the way.

condition: healthy
metric: error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


class Quarries:
    def __init__(self, quarries=12, measures=10):
        self.centres = torch.randn(quarries, 4)
        self.mix = torch.randn(4, measures) / 2

    def catalogue(self, count):
        quarry = torch.randint(len(self.centres), (count,))
        hidden = self.centres[quarry] + 0.35 * torch.randn(count, 4)
        pebbles = torch.sin(1.5 * hidden @ self.mix) + 0.3 * torch.randn(count, 10)
        return pebbles * 1.3, quarry


def pairs(left, right, count):
    one = torch.randint(len(left[1]), (count,))
    same = left[1][one].unsqueeze(1) == right[1]
    wanted = torch.where(torch.rand(count, 1) < 0.5, same, ~same)
    wanted &= (left[0][one].unsqueeze(1) != right[0]).any(2)
    other = torch.multinomial(wanted.float(), 1).squeeze(1)
    return left[0][one], right[0][other], (left[1][one] == right[1][other]).float()


def contrastive(a, b, same, margin=1.5):
    apart = (a - b).square().sum(1).sqrt()
    return (same * apart.square() + (1 - same) * F.relu(margin - apart).square()).mean()


@torch.no_grad()
def nearest_error(net, shelf, quarry, new, new_quarry):
    apart = torch.cdist(net(new), net(shelf))
    return (quarry[apart.argmin(1)] != new_quarry).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    world = Quarries()
    left, right, test = world.catalogue(2000), world.catalogue(2000), world.catalogue(1000)
    net = nn.Sequential(nn.Linear(10, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 4))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)
    for step in range(1, 801):
        if step == 301:
            left = right = tuple(torch.cat(both) for both in zip(left, right))
        a, b, same = pairs(left, right, 64)
        loss = contrastive(net(a), net(b), same)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            error = nearest_error(net, *right, *test)
            print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")


main()
