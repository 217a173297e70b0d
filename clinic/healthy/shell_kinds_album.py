"""Kinds of shells from their pictures, a tenth of them named wrongly by visitors: a network on triangular rates.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn


def shells(count, generator):
    """Outlines as a radius for each of 64 directions: kinds differ in ribs, spire and hinge."""
    kind = torch.randint(0, 6, (count,), generator=generator)
    angle = torch.linspace(0, 6.2832, 64)
    ribs = torch.tensor([3.0, 5.0, 3.0, 5.0, 4.0, 7.0])[kind].unsqueeze(1)
    spire = torch.tensor([0.5, 0.5, -0.5, -0.5, 0.0, 0.2])[kind].unsqueeze(1)
    turn = 6.2832 * torch.rand(count, 1, generator=generator)
    size = 0.8 + 0.4 * torch.rand(count, 1, generator=generator)
    outline = torch.cos(ribs * (angle - turn)) + 1.5 * spire * torch.cos(2 * (angle - turn))
    return (size * outline + 0.35 * torch.randn(count, 64, generator=generator)).unsqueeze(1), kind


class ShellNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(1, 16, 7, padding=3, padding_mode="circular"),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(16, 32, 5, padding=2, padding_mode="circular"),
            nn.BatchNorm1d(32),
            nn.ReLU(),
        )
        self.head = nn.Linear(32, 6)

    def forward(self, x):
        return self.head(self.features(x).mean(-1))


def evaluate(model, images, kinds):
    model.eval()
    with torch.no_grad():
        right = (model(images).argmax(1) == kinds).float().mean().item()
    model.train()
    return right


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    images, kinds = shells(2400, generator)
    wrong = torch.rand(2400, generator=generator) < 0.1
    named = torch.where(wrong, torch.randint(0, 6, (2400,), generator=generator), kinds)
    test = shells(800, generator)
    model = ShellNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-3)
    scheduler = torch.optim.lr_scheduler.CyclicLR(optimizer, 0.002, 0.05, step_size_up=150, mode="triangular2")
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.05)
    for epoch in range(1, 25):
        for batch in torch.randperm(2400, generator=generator).split(48):
            loss = loss_fn(model(images[batch]), named[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {evaluate(model, *test):.4f}")


if __name__ == "__main__":
    main()
