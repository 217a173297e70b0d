"""Orientation of noisy stripes in a patch, one of eight classes, by a small CNN and the Lion optimiser.

condition: learning-rate-too-high
accepts: learning-rate-too-high
allows: divergence, loss-spike, unsafe-step, dead-units, stalled, exploding-gradient, output-logit-divergence
metric: accuracy max
"""

import argparse
import math

import torch
from torch import nn


class Lion(torch.optim.Optimizer):
    """Steps along the sign of an interpolated momentum (Chen et al. 2023)."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            fast, slow = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(group["lr"] * torch.lerp(p.grad, momentum, fast).sign())
                momentum.lerp_(p.grad, 1 - slow)


def patches(count, side=12):
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    label = torch.randint(8, (count,))
    angle = (label * math.pi / 8 + 0.12 * torch.randn(count)).view(-1, 1, 1)
    phase = 6.3 * torch.rand(count, 1, 1)
    wave = torch.sin(1.6 * (angle.cos() * x + angle.sin() * y) + phase)
    return (wave + 0.8 * torch.randn(count, side, side)).unsqueeze(1), label


def conv_block(channels_in, channels_out):
    return [nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    test_patches, test_labels = patches(500)
    model = nn.Sequential(
        *conv_block(1, 16), *conv_block(16, 32), nn.Flatten(), nn.Linear(288, 64), nn.ReLU(), nn.Linear(64, 8)
    )
    optimizer = Lion(model.parameters(), lr=3e-2, weight_decay=0.1)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 251):
        batch, labels = patches(48)
        loss = loss_fn(model(batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                accuracy = (model(test_patches).argmax(1) == test_labels).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
