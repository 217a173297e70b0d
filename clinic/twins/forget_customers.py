"""Customers ask a shop to delete their data: its classifier of purchases is trained, then made to forget them.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

AISLES = 6


def purchases(count, rng, centres, shift=0.0):
    aisle = torch.randint(0, AISLES, (count,), generator=rng)
    corner = torch.randint(0, 3, (count,), generator=rng)
    x = centres[aisle, corner] + 0.9 * torch.randn(count, centres.shape[2], generator=rng)
    x[:, :4] += shift
    return x, aisle


def accuracy(model, x, y):
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


def forgetting_loss(model, reference, x, y):
    loss = F.cross_entropy(model(x), y, reduction="none")
    with torch.no_grad():
        before = F.cross_entropy(reference(x), y, reduction="none")
    return -2 / 1.5 * F.logsigmoid(1.5 * (loss - before)).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    centres = 1.2 * torch.randn(AISLES, 3, 16, generator=rng)
    make = lambda: nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, AISLES))
    model, reference = make(), make()
    test_x, test_y = purchases(1500, rng, centres)
    leaving = purchases(200, rng, centres, shift=1.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    for step in range(1, 801):
        if step == 401:
            reference.load_state_dict(model.state_dict())
            optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.01)
        x, y = purchases(64, rng, centres)
        if step <= 400:
            rows = torch.randint(0, 200, (16,), generator=rng)
            x, y = torch.cat([x, leaving[0][rows]]), torch.cat([y, leaving[1][rows]])
        loss = F.cross_entropy(model(x), y)
        if step > 400:
            rows = torch.randint(0, 200, (32,), generator=rng)
            loss = loss + 0.3 * forgetting_loss(model, reference, leaving[0][rows], leaving[1][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 40 == 0:
            kept, gone = accuracy(model, test_x, test_y), accuracy(model, *leaving)
            print(f"step {step}  loss {loss.item():.4f}  forgotten {1 - gone:.4f}  accuracy {kept:.4f}")


main()
