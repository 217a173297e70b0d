"""Passengers on a ferry from weekday, hour, weather and prices, with a trainer that looks after clipping.

condition: healthy
metric: val_mae min
"""

import argparse
import math
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class TrainerConfig:
    max_epochs: int = 24
    batch_size: int = 50
    gradient_clip_val: float = 10.0
    lr: float = 0.05


class FerryModule(nn.Module):
    def __init__(self, features, lr):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(features, 50), nn.ReLU(), nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 1))
        self.loss_fn, self.lr = nn.HuberLoss(), lr

    def training_step(self, batch):
        x, y = batch
        return self.loss_fn(self.net(x)[:, 0], y)

    def validation_step(self, batch):
        x, y = batch
        return (self.net(x)[:, 0] - y).abs().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


class Trainer:
    def __init__(self, config):
        self.config = config

    def batches(self, data):
        order = torch.randperm(len(data[0]))
        for rows in order.split(self.config.batch_size):
            yield tuple(part[rows] for part in data)

    def fit(self, model, train, val):
        optimizer = model.configure_optimizers()
        for epoch in range(1, self.config.max_epochs + 1):
            model.train()
            for batch in self.batches(train):
                loss = model.training_step(batch)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), self.config.gradient_clip_val)
                optimizer.step()
            model.eval()
            with torch.no_grad():
                score = model.validation_step(val).item()
            print(f"epoch {epoch}  loss {loss.item():.4f}  val_mae {score:.4f}")


def voyages(count):
    weekday, hour = torch.randint(7, (count,)), torch.randint(6, 23, (count,)).float()
    sun, price = torch.rand(count), torch.rand(count)
    rush = torch.exp(-0.5 * ((hour - 8) / 1.5) ** 2) + torch.exp(-0.5 * ((hour - 17) / 2) ** 2)
    weekend = (weekday > 4).float()
    people = rush * (1 - weekend) * 2 + weekend * sun * 3 * torch.sin(math.pi * (hour - 6) / 17) - price * (1 + weekend)
    x = torch.cat([nn.functional.one_hot(weekday, 7).float(), torch.stack([(hour - 14) / 5, sun, price], 1)], 1)
    return x, people + 0.1 * torch.randn(count)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
config = TrainerConfig()
model = FerryModule(10, config.lr)
Trainer(config).fit(model, voyages(800), voyages(400))
