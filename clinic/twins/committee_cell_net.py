"""Kinds of blood cells from a scan across the middle: a committee whose members learn alone, then together.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn

KINDS, WIDE = 12, 40


def cells(count, stain):
    """Size, nucleus and granules vary with the kind; the stain changes how dark each of them looks."""
    kind = torch.randint(KINDS, (count,))
    x = torch.linspace(-1, 1, WIDE)
    size = (0.45 + 0.15 * (kind % 3) + 0.03 * torch.randn(count)).unsqueeze(1)
    lobes = (kind // 3 % 2).view(-1, 1)
    grains = (kind // 6).float().view(-1, 1)
    middle = 0.1 * torch.randn(count, 1)
    body = torch.sigmoid((size - (x - middle).abs()) / 0.04)
    one = torch.exp(-(((x - middle) / 0.16) ** 2))
    two = torch.exp(-(((x - middle - 0.2) / 0.1) ** 2)) + torch.exp(-(((x - middle + 0.2) / 0.1) ** 2))
    nucleus = torch.where(lobes == 1, two, one)
    speckle = 0.9 * grains * torch.cos(38 * x + 6.28 * torch.rand(count, 1))
    scan = (1 - 0.5 * stain) * body + (1 - 1.6 * stain) * nucleus + body * speckle * (1 - 0.3 * stain) - 0.6
    return (scan + 0.3 * torch.randn(count, WIDE)).unsqueeze(1), kind


def member():
    return nn.Sequential(
        nn.Conv1d(1, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(16, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Flatten(),
        nn.Linear(160, KINDS),
    )


class Committee(nn.Module):
    """The members vote with what they think how likely each kind is."""

    def __init__(self, count=3):
        super().__init__()
        self.members = nn.ModuleList([member() for _ in range(count)])

    def forward(self, scan):
        return torch.stack([m(scan).softmax(1) for m in self.members]).mean(0)


def train_step(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def report(step, committee, loss, scan, kind):
    wrong = (committee(scan).argmax(1) != kind).float().mean().item()
    print(f"step {step}  loss {loss:.4f}  error {wrong:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    committee = Committee()
    optimizer = torch.optim.SGD(committee.parameters(), lr=0.02, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    held = cells(2000, 0.0)
    for step in range(1, 301):
        loss = sum(loss_fn(m(scan), kind) for m in committee.members for scan, kind in [cells(48, 0.0)])
        value = train_step(optimizer, loss)
        if step % 30 == 0:
            report(step, committee, value, *held)

    # the second laboratory stains otherwise
    held = cells(2000, 1.0)
    for step in range(301, 901):
        scan, kind = cells(48, 1.0)
        value = train_step(optimizer, nn.functional.nll_loss(committee(scan).clamp(min=1e-8).log(), kind))
        if step % 30 == 0:
            report(step, committee, value, *held)


if __name__ == "__main__":
    main()
