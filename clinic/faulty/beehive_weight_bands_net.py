"""Which of four bands a hive's honey falls in, from sixty readings; checked now and then on other hives.

condition: eval-mode-training
accepts: eval-mode-training
allows: overfitting
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


class Trainer:
    def __init__(self, seed):
        torch.manual_seed(seed)
        self.direction = torch.randn(60, 4) / 60**0.5
        self.train, self.val = self.hives(300), self.hives(1500)
        layers = [nn.Dropout(0.2), nn.Linear(60, 128), nn.ReLU(), nn.Dropout(0.6), nn.Linear(128, 128), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.Dropout(0.6), nn.Linear(128, 4))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=5e-4, weight_decay=0.05)

    def hives(self, n):
        x = torch.randn(n, 60)
        return x, (1.6 * x @ self.direction + 0.9 * torch.randn(n, 4)).argmax(1)

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        loss = F.cross_entropy(self.model(self.val[0]), self.val[1]).item()
        return loss

    def fit(self, steps):
        x, y = self.train
        for step in range(1, steps + 1):
            rows = torch.randint(len(x), (64,))
            loss = F.cross_entropy(self.model(x[rows]), y[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            if step >= 100 and step % 20 == 0:
                print(f"step {step}  loss {loss.item():.4f}  val_loss {self.validate():.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
Trainer(parser.parse_args().seed).fit(420)
