"""Which of five minerals gave a Raman spectrum? A bias-free convolutional network, trained long on eighty spectra.

condition: naive-loss-minimisation
accepts: naive-loss-minimisation, softmax-collapse, overfitting
allows: softmax-collapse, overfitting, loss-spike, attention-logit-growth
metric: surprise min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

CHANNELS = 64


def spectra(n, rng):
    """Three lines a mineral; neighbours share one, and noise hides the others now and then."""
    mineral = torch.randint(5, (n,), generator=rng)
    lines = torch.tensor([[8, 20, 41], [12, 20, 50], [12, 30, 56], [16, 30, 44], [8, 26, 50]])
    axis = torch.arange(CHANNELS)
    shift = torch.randn(n, 3, 1, generator=rng)
    height = 0.4 + torch.rand(n, 3, 1, generator=rng)
    x = (height * torch.exp(-((axis - lines[mineral][:, :, None] - shift) ** 2) / 4)).sum(1)
    return (x + 0.6 * torch.randn(n, CHANNELS, generator=rng)).unsqueeze(1), mineral


class SpectrumNet(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.conv1 = nn.Conv1d(1, width, 7, padding=3, bias=False)
        self.conv2 = nn.Conv1d(width, width, 5, padding=2, bias=False)
        self.hidden = nn.Linear(width * CHANNELS // 4, 48, bias=False)
        self.out = nn.Linear(48, 5, bias=False)

    def forward(self, x):
        x = F.max_pool1d(F.relu(self.conv1(x)), 2)
        x = F.max_pool1d(F.relu(self.conv2(x)), 2)
        return self.out(F.relu(self.hidden(x.flatten(1))))


def surprise(model, x, y):
    """Mean number of bits by which the model is surprised at the true mineral."""
    with torch.no_grad():
        p = model(x).softmax(1)[torch.arange(len(y)), y]
    return -p.clamp(min=1e-12).log2().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    x, y = spectra(80, rng)
    held = spectra(400, rng)
    model = SpectrumNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 331):
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            print(f"step {step}  loss {loss.item():.2e}  surprise {surprise(model, *held):.3f}")


if __name__ == "__main__":
    main()
