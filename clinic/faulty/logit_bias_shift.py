"""Which of forty gestures did a glove make? A classifier that also scores how familiar a glove's reading is.

condition: output-logit-divergence
accepts: output-logit-divergence
allows: loss-term-imbalance, low-precision-underflow, divergence, learning-rate-too-high, loss-spike, stalled
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

GESTURES, SENSORS = 40, 24


class Glove:
    def __init__(self, seed):
        self.g = torch.Generator().manual_seed(seed)
        self.pose = torch.randn(GESTURES, SENSORS, generator=self.g)

    def readings(self, count):
        which = torch.randint(GESTURES, (count,), generator=self.g)
        return self.pose[which] + 0.7 * torch.randn(count, SENSORS, generator=self.g), which

    def nonsense(self, count):
        return 1.5 * torch.randn(count, SENSORS, generator=self.g)


class GestureNet(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.a, self.b = nn.Linear(SENSORS, width), nn.Linear(width, width)
        self.logits = nn.Linear(width, GESTURES)

    def forward(self, x):
        return self.logits(F.relu(self.b(F.relu(self.a(x)))))


def familiarity(logits):
    return logits.float().logsumexp(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    glove = Glove(seed)
    val_x, val_y = glove.readings(800)
    model = GestureNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(1, 501):
        x, y = glove.readings(64)
        odd = glove.nonsense(64)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            known, strange = model(x), model(odd)
        energy = familiarity(strange).mean() - familiarity(known).mean()
        loss = F.cross_entropy(known, y) + 0.1 * energy
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                val_loss = F.cross_entropy(model(val_x), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  energy {energy.item():.2f}  val_loss {val_loss:.4f}")


main()
