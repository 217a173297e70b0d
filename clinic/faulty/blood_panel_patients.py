"""Survival score of patients from forty blood values: a wide residual network, trained on sixty of them.

condition: overfitting
accepts: overfitting
allows: stalled
metric: val_mse min
"""

import argparse
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Settings:
    patients: int = 60
    width: int = 96
    blocks: int = 2
    lr: float = 1e-3
    weight_decay: float = 0.0
    steps: int = 300


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.outer(nn.functional.silu(self.inner(self.norm(x))))


class PanelNet(nn.Module):
    def __init__(self, width, blocks):
        super().__init__()
        self.enter = nn.Linear(40, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.leave = nn.Linear(width, 1)

    def forward(self, x):
        x = self.enter(x)
        for block in self.blocks:
            x = block(x)
        return self.leave(x).squeeze(1)


def panel(count, weights):
    blood = torch.randn(count, 40)
    blood[:, 20:] = 0.6 * blood[:, :20] + 0.8 * blood[:, 20:]
    score = blood @ weights + 0.6 * blood[:, 0] * blood[:, 1] + 0.7 * torch.randn(count)
    return blood, score


class Run:
    def __init__(self, settings):
        self.settings = settings
        weights = torch.zeros(40)
        weights[:5] = torch.tensor([0.9, -0.7, 0.5, 0.4, -0.3])
        self.train, self.val = panel(settings.patients, weights), panel(500, weights)
        self.model = PanelNet(settings.width, settings.blocks)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
        self.loss_fn = nn.MSELoss()

    def train_step(self):
        x, y = self.train
        rows = torch.randint(len(y), (24,))
        loss = self.loss_fn(self.model(x[rows]), y[rows])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def go(self):
        for step in range(1, self.settings.steps + 1):
            loss = self.train_step()
            if step % 10 == 0:
                with torch.no_grad():
                    val_mse = self.loss_fn(self.model(self.val[0]), self.val[1]).item()
                print(f"step {step}  loss {loss:.4f}  val_mse {val_mse:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    Run(Settings()).go()
