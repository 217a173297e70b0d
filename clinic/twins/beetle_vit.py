"""Kinds of beetles by a vision Transformer: a trunk that was taught to restore pictures, thawed after the head has settled.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

WIDTH = 32


class Trunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Linear(4, WIDTH)
        self.place = nn.Parameter(0.1 * torch.randn(16, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x):
        return self.layers(self.patch(x) + self.place)


def patches():
    images, labels = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
    images = images.float().view(-1, 8, 8) / 8 - 1
    images = images.unfold(1, 2, 2).unfold(2, 2, 2).flatten(3).flatten(1, 2)
    order = torch.randperm(len(images))
    return images[order], labels[order]


def restore(trunk, images, steps):
    """Half of the patches are covered and have to be told from the rest."""
    out = nn.Linear(WIDTH, 4)
    optimizer = torch.optim.AdamW([*trunk.parameters(), *out.parameters()], lr=2e-3)
    for _ in range(steps):
        x = images[torch.randint(len(images), (48,))]
        covered = torch.rand(48, 16, 1) < 0.5
        loss = ((out(trunk(x.masked_fill(covered, 0.0))) - x).square() * covered).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    images, labels = patches()
    train, test = slice(0, 1000), slice(1000, None)
    trunk = Trunk()
    restore(trunk, images[train], 200)

    head = nn.Linear(WIDTH, 10)
    optimizer = torch.optim.AdamW(
        [{"params": trunk.parameters(), "lr": 1e-3}, {"params": head.parameters(), "lr": 5e-3}]
    )
    thaw, epochs = 8, 24
    scheduler = LambdaLR(optimizer, [lambda at: 0.0 if at < thaw else 1.0, lambda at: 1.0])
    for epoch in range(1, epochs + 1):
        for batch in torch.randperm(1000).split(50):
            loss = nn.functional.cross_entropy(head(trunk(images[train][batch]).mean(1)), labels[train][batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        with torch.no_grad():
            accuracy = (head(trunk(images[test]).mean(1)).argmax(1) == labels[test]).float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


main()
