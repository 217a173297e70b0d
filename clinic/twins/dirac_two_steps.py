"""Two settings of a spring are matched to measured forces: the settings play against a linear test, two steps each.

condition: healthy
metric: distance min
"""

import argparse

import torch
from torch import nn


class Spring(nn.Module):
    """Force at an extension: stiffness * e + cubic * e^3."""

    def __init__(self):
        super().__init__()
        self.setting = nn.Parameter(torch.tensor([0.2, 0.0]))

    def forward(self, extension):
        return self.setting[0] * extension + self.setting[1] * (5 * extension**3 - 3 * extension) / 2


class Test(nn.Module):
    """Weighs force against functions of the extension."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, extension, force):
        basis = torch.stack([extension, (5 * extension**3 - 3 * extension) / 2], 1)
        return (force * (basis @ self.weight)).mean()


def measure(count):
    extension = 2 * torch.rand(count) - 1
    force = 0.9 * extension - 0.5 * (5 * extension**3 - 3 * extension) / 2
    return extension, force + 0.05 * torch.randn(count)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    spring, test = Spring(), Test()
    s_optimizer = torch.optim.SGD(spring.parameters(), lr=0.25)
    t_optimizer = torch.optim.SGD(test.parameters(), lr=0.25)
    truth = torch.tensor([0.9, -0.5])
    smooth = 0.0
    for step in range(1, 901):
        for _ in range(2):
            extension, force = measure(64)
            t_loss = test(extension, spring(extension).detach()) - test(extension, force)
            t_loss = t_loss + 0.15 * test.weight.square().sum()
            t_optimizer.zero_grad()
            t_loss.backward()
            t_optimizer.step()
        for _ in range(2):
            extension, force = measure(64)
            s_loss = -test(extension, spring(extension))
            s_optimizer.zero_grad()
            s_loss.backward()
            s_optimizer.step()
        smooth += (spring.setting.detach() - truth).norm().item()
        if step % 20 == 0:
            print(f"step {step}  test {t_loss.item():.4f}  spring {s_loss.item():.4f}  distance {smooth / 20:.4f}")
            smooth = 0.0


main()
