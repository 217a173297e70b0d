"""Rock, wreck, fish or cable: what does the echo of a sonar chirp come from? A plain stack of 1-D convolutions.

condition: off-critical-initialisation
accepts: off-critical-initialisation, vanishing-gradient
allows: vanishing-gradient, stalled, dead-units, learning-rate-too-low, epsilon-dominated-update, low-precision-underflow
metric: accuracy max
"""

import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

LENGTH, KINDS = 96, 4


def echoes(n, rng):
    t = np.arange(LENGTH) / LENGTH
    kind = rng.integers(KINDS, size=n)
    delay = rng.uniform(0.1, 0.4, n)[:, None]
    phase = rng.uniform(0, 2 * np.pi, n)[:, None]
    width = np.array([0.05, 0.15, 0.05, 0.15])[kind][:, None]
    start = np.array([18.0, 18.0, 26.0, 26.0])[kind][:, None] * rng.uniform(0.9, 1.1, (n, 1))
    sweep = np.array([30.0, -20.0, -30.0, 20.0])[kind][:, None]
    s = t[None] - delay
    pulse = np.exp(-0.5 * (s / width) ** 2) * np.sin(2 * np.pi * (start * s + sweep * s**2) + phase)
    pulse += 0.5 * np.roll(pulse, 20, axis=1) + 0.3 * rng.standard_normal((n, LENGTH))
    return torch.tensor(pulse / pulse.std(), dtype=torch.float32)[:, None], torch.tensor(kind)


class SonarNet(nn.Module):
    def __init__(self, channels=24, depth=10):
        super().__init__()
        layers = []
        for i in range(depth):
            layers += [
                nn.Conv1d(1 if i == 0 else channels, channels, 5, stride=2 if i in (1, 3, 5) else 1, padding=2),
                nn.ReLU(),
            ]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, KINDS)
        self.apply(self.init_weights)

    @staticmethod
    def init_weights(module):
        if isinstance(module, (nn.Conv1d, nn.Linear)):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)
            nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.classifier(self.features(x).mean(-1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    opt = parser.parse_args()
    torch.manual_seed(opt.seed)
    rng = np.random.default_rng(opt.seed)
    loader = DataLoader(TensorDataset(*echoes(2400, rng)), batch_size=64, shuffle=True)
    test_x, test_y = echoes(600, rng)

    model = SonarNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.006, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=16)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(1, 17):
        model.train()
        running = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            running += loss.item() / len(loader)
        scheduler.step()
        model.eval()
        with torch.no_grad():
            accuracy = (model(test_x).argmax(1) == test_y).float().mean().item()
        print(f"epoch {epoch}  loss {running:.4f}  accuracy {accuracy:.4f}")
