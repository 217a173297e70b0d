"""Which of five weaves does a patch of cloth have? Eight plain convolutions with leaky units, and Adam.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn

SIDE = 12


def patches(count):
    """Threads over and under each other: plain, twill, satin, basket and herringbone, at any offset."""
    kind = torch.randint(5, (count,))
    row = (torch.arange(SIDE) + torch.randint(8, (count, 1))).view(count, SIDE, 1)
    col = (torch.arange(SIDE) + torch.randint(8, (count, 1))).view(count, 1, SIDE)
    plain = (row + col) % 2
    twill = (row + col) % 4 // 2
    satin = ((2 * row + col) % 5 == 0).long()
    basket = (row // 2 + col // 2) % 2
    herring = (row + torch.where(col % 8 < 4, col, 7 - col)) % 4 // 2
    cloth = torch.stack([plain, twill, satin.expand(count, SIDE, SIDE), basket, herring], 1)
    picture = cloth[torch.arange(count), kind].float()
    shade = 0.5 + torch.rand(count, 1, 1)
    return (shade * picture + 0.7 * torch.randn(count, SIDE, SIDE)).unsqueeze(1), kind


def init_weights(module):
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.kaiming_normal_(module.weight, a=0.2)
        nn.init.zeros_(module.bias)


def build(channels=16, depth=8):
    layers, last = [], 1
    for i in range(depth):
        layers += [nn.Conv2d(last, channels, 3, stride=2 if i in (2, 5) else 1, padding=1), nn.LeakyReLU(0.2)]
        last = channels
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * 9, 5))


def train(seed):
    torch.manual_seed(seed)
    model = build()
    model.apply(init_weights)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.5, 0.999))
    loss_fn = nn.CrossEntropyLoss()
    test, labels = patches(400)
    for step in range(1, 221):
        x, y = patches(32)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                accuracy = (model(test).argmax(1) == labels).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args().seed)
