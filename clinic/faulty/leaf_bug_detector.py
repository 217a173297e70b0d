"""Where do bugs sit on a leaf? A small convolutional detector gives a score for each cell; focal loss, bugs are rare.

condition: dead-units
accepts: dead-units
allows: stalled, vanishing-gradient, off-critical-initialisation, frozen-parameters, detached-parameters
metric: found max
"""

import argparse
import math

import torch
from torch import nn

SIDE, PRIOR = 20, 0.01


class Detector(nn.Module):
    def __init__(self, channels=16):
        super().__init__()
        self.tower = nn.Sequential(
            nn.Conv2d(1, channels, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
        )
        self.score = nn.Conv2d(channels, 1, 1)
        self.reset_parameters()

    def reset_parameters(self):
        """He's weights; the bias makes a bug as rare at the start as it is on a leaf."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.constant_(layer.bias, -math.log((1 - PRIOR) / PRIOR))

    def forward(self, leaf):
        return self.score(self.tower(leaf)).squeeze(1)


def leaves(count):
    """Smooth veins, sensor noise, and up to four bugs: a dark spot with a bright rim."""
    axis = torch.arange(SIDE, dtype=torch.float32)
    slant = torch.rand(count, 1, 1)
    veins = 0.4 * torch.sin(axis[:, None] * slant + axis * (1 - slant) + 6 * torch.rand(count, 1, 1))
    bugs = torch.zeros(count, SIDE, SIDE)
    where = torch.randint(2, SIDE - 2, (count, 4, 2))
    rows = torch.arange(count)[:, None].expand(-1, 4)
    bugs[rows, where[..., 0], where[..., 1]] = (torch.rand(count, 4) < 0.7).float()
    stamp = torch.tensor([[0.6, 0.8, 0.6], [0.8, -1.8, 0.8], [0.6, 0.8, 0.6]])
    print_ = nn.functional.conv2d(bugs[:, None], stamp[None, None], padding=1)
    leaf = veins[:, None] + print_ + 0.45 * torch.randn(count, 1, SIDE, SIDE)
    return leaf, bugs


def focal_loss(score, truth, gamma=2.0, alpha=0.75):
    p = torch.sigmoid(score)
    right = torch.where(truth > 0, p, 1 - p)
    weight = torch.where(truth > 0, alpha, 1 - alpha)
    log_right = nn.functional.logsigmoid(torch.where(truth > 0, score, -score))
    return -(weight * (1 - right) ** gamma * log_right).sum() / truth.sum().clamp_min(1)


@torch.no_grad()
def found(model, leaf, bugs):
    """Average precision over all cells."""
    order = model(leaf).flatten().argsort(descending=True)
    hit = bugs.flatten()[order]
    precision = hit.cumsum(0) / torch.arange(1, len(hit) + 1)
    return ((precision * hit).sum() / hit.sum()).item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    train_leaf, train_bugs = leaves(400)
    exam = leaves(60)
    model = Detector()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    step = 0
    while step < 240:
        for rows in torch.randperm(400).split(16):
            loss = focal_loss(model(train_leaf[rows]), train_bugs[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 10 == 0:
                print(f"step {step}  loss {loss.item():.4f}  found {found(model, *exam):.4f}")


if __name__ == "__main__":
    main()
