"""Snail shells of one species are to lie close to each other in a learned space.

condition: healthy
metric: recall max
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

SPECIES = 30


def shells(per_kind, kinds, bend):
    kind = torch.arange(SPECIES).repeat_interleave(per_kind)
    raw = kinds[kind] + 0.9 * torch.randn(len(kind), kinds.shape[1])
    return torch.cat([torch.tanh(raw @ bend), 2.5 * torch.randn(len(kind), 10)], 1), kind


def recall(model, shape, kind):
    with torch.no_grad():
        code = model(shape)
        near = (torch.cdist(code, code) + 1e9 * torch.eye(len(code))).argmin(1)
    return (kind[near] == kind).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    kinds, bend = torch.randn(SPECIES, 8), 0.5 * torch.randn(8, 16)
    shape, kind = shells(100, kinds, bend)
    test_shape, test_kind = shells(25, kinds, bend)
    model = nn.Sequential(nn.Linear(26, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 12))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for step in range(1, 801):
        anchor = torch.randint(len(shape), (96,))
        friend = kind[anchor] * 100 + torch.randint(100, (96,))
        stranger = ((kind[anchor] + torch.randint(1, SPECIES, (96,))) % SPECIES) * 100 + torch.randint(100, (96,))
        a, p, n = (F.normalize(model(shape[rows]), dim=1) for rows in (anchor, friend, stranger))
        loss = F.softplus(5 * ((a - p).square().sum(1) - (a - n).square().sum(1))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0 or step == 1:
            print(f"step {step}  loss {loss.item():.4f}  recall {recall(model, test_shape, test_kind):.4f}")


main()
