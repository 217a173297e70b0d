"""A one-dimensional network hears porpoise clicks in a hydrophone's short windows.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn


def windows(count, length=96):
    time = torch.arange(length).float()
    centre = 20 + 56 * torch.rand(count, 1)
    width = 4 + 4 * torch.rand(count, 1)
    pitch = 1.3 + 0.3 * torch.rand(count, 1)
    loud = torch.exp(0.5 + 0.7 * torch.randn(count, 1))
    click = loud * torch.exp(-(((time - centre) / width) ** 2)) * torch.cos(pitch * (time - centre))
    snap = 3 * torch.exp(-(((time - centre.flip(0)) / 1.5) ** 2)) * (torch.rand(count, 1) < 0.5)
    label = (torch.rand(count, 1) < 0.5).float()
    return (label * click + snap + 0.4 * torch.randn(count, length)).unsqueeze(1), label.squeeze(1)


class Ear(nn.Module):
    def __init__(self):
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv1d(1, 12, 9, padding=4),
            nn.ReLU(),
            nn.Conv1d(12, 24, 7, padding=3, stride=2),
            nn.ReLU(),
            nn.Conv1d(24, 24, 5, padding=2, stride=2),
            nn.ReLU(),
        )
        self.back = nn.Linear(24, 1)

    def forward(self, sound):
        return self.back(self.front(sound).amax(-1)).squeeze(1)


def loss_fn(score, label):
    return nn.functional.binary_cross_entropy_with_logits(score, label)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    sound, label = windows(6000)
    held, held_label = windows(1500)
    model = Ear()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(1, 1401):
        rows = torch.randint(len(sound), (64,))
        loss = loss_fn(model(sound[rows]), label[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 35 == 0 or step == 1:
            with torch.no_grad():
                wrong = ((torch.sigmoid(model(held)) > 0.5).float() != held_label).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {wrong:.4f}")


main()
