"""Weight of a parcel from its measures, its material and how its picture looks: an MLP, SGD and a falling rate.

condition: healthy
metric: val_error min
"""

import argparse
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Config:
    epochs: int = 40
    batch_size: int = 50
    lr: float = 0.1
    momentum: float = 0.9
    decay_every: int = 10
    decay: float = 0.5
    width: int = 80


def parcels(count):
    size = torch.rand(count, 3) * torch.tensor([60.0, 40.0, 30.0]) + 8
    kind = torch.randint(6, (count,))
    density = torch.tensor([0.08, 0.15, 0.2, 0.35, 0.5, 0.8])[kind]
    fill = torch.rand(count)
    weight = size.prod(1) / 1000 * density * (0.3 + 0.7 * fill) + 0.2
    look = torch.stack([fill + 0.05 * torch.randn(count), torch.randn(count), fill.sqrt()], 1)
    x = torch.cat([(size - 30) / 15, nn.functional.one_hot(kind, 6).float(), look], 1)
    return x, weight.log()[:, None]


def build(config):
    return nn.Sequential(
        nn.Linear(12, config.width),
        nn.Tanh(),
        nn.Linear(config.width, config.width),
        nn.Tanh(),
        nn.Linear(config.width, 1),
    )


def train(config):
    x, y = parcels(1000)
    val_x, val_y = parcels(500)
    model = build(config)
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=config.decay_every, gamma=config.decay)
    for epoch in range(config.epochs):
        order = torch.randperm(len(x))
        for rows in order.split(config.batch_size):
            loss = loss_fn(model(x[rows]), y[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        scheduler.step()
        with torch.no_grad():
            val_error = loss_fn(model(val_x), val_y).sqrt().item()
        print(f"epoch {epoch:3d}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    train(Config())
