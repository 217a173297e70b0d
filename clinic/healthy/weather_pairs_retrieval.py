"""A week's weather in numbers and the chart drawn of it come to one embedding; the scale of the logits is learned.

condition: healthy
metric: recall max
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

STATE = 10


def pairs(count, charts, sensors):
    state = torch.randn(count, STATE)
    numbers = torch.tanh(state @ sensors) + 0.1 * torch.randn(count, 24)
    rows = torch.einsum("ns,srk->nrk", state, charts)
    return numbers, (rows + 0.4 * torch.randn(rows.shape)).unsqueeze(1)


class Pair(nn.Module):
    def __init__(self, dim=24):
        super().__init__()
        self.numbers = nn.Sequential(nn.Linear(24, 96), nn.GELU(), nn.LayerNorm(96), nn.Linear(96, dim))
        self.chart = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(12, 12, 3, stride=2),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(108, dim),
        )
        self.log_scale = nn.Parameter(torch.tensor(math.log(14.0)))

    def forward(self, numbers, chart):
        a = F.normalize(self.numbers(numbers), dim=1)
        b = F.normalize(self.chart(chart), dim=1)
        return self.log_scale.exp().clamp(max=100.0) * a @ b.T


def symmetric(logits):
    here = torch.arange(len(logits))
    return 0.5 * (F.cross_entropy(logits, here) + F.cross_entropy(logits.T, here))


class Training:
    def __init__(self, seed, steps=700):
        torch.manual_seed(seed)
        self.world = torch.randn(STATE, 8, 8) / STATE**0.5, torch.randn(STATE, 24) / STATE**0.5
        self.model = Pair()
        scale = [self.model.log_scale]
        rest = [p for name, p in self.model.named_parameters() if name != "log_scale"]
        self.optimizer = torch.optim.AdamW(
            [{"params": rest, "weight_decay": 0.02}, {"params": scale, "weight_decay": 0.0}], lr=2e-3
        )
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, 3e-3, total_steps=steps, pct_start=0.15)
        self.steps, self.val = steps, pairs(400, *self.world)

    @torch.no_grad()
    def recall(self):
        found = self.model(*self.val).argmax(1)
        return (found == torch.arange(len(found))).float().mean().item()

    def run(self):
        for step in range(1, self.steps + 1):
            loss = symmetric(self.model(*pairs(128, *self.world)))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            if step % 35 == 0:
                print(f"step {step}  loss {loss.item():.4f}  recall {self.recall():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    Training(parser.parse_args().seed).run()
