"""A network with a skip connection names one of three hundred compounds from a noisy spectrum of sixty channels.

condition: healthy
metric: log_loss min
"""

import argparse
import math

import torch
from torch import nn

COMPOUNDS, CHANNELS, BATCH = 300, 60, 24


class SpectrumNet(nn.Module):
    def __init__(self, width=80):
        super().__init__()
        self.stem = nn.Linear(CHANNELS, width)
        self.inner = nn.Linear(width, width)
        self.logits = nn.Linear(width, COMPOUNDS)

    def forward(self, spectrum):
        x = torch.relu(self.stem(spectrum))
        x = x + torch.relu(self.inner(x))
        return self.logits(x)


def library():
    """Spectra with five peaks of different heights."""
    places = torch.rand(COMPOUNDS, 5, 1) * CHANNELS
    heights = 0.5 + torch.rand(COMPOUNDS, 5, 1)
    return (heights * torch.exp(-0.5 * ((torch.arange(CHANNELS) - places) / 1.5) ** 2)).sum(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    clean = library()

    def measure(size):
        compound = torch.randint(COMPOUNDS, (size,))
        return clean[compound] + 0.25 * torch.randn(size, CHANNELS), compound

    model = SpectrumNet()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=8e-3, alpha=0.9)
    loss_fn = nn.CrossEntropyLoss()
    spectra, compounds = measure(1000)

    for step in range(1, 1201):
        x, compound = measure(BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x)
        loss = loss_fn(logits.float(), compound)
        loss = loss + 1e-2 * logits.float().logsumexp(-1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 60 == 0:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                scores = model(spectra)
            test_loss = loss_fn(scores.float(), compounds).item()
            print(f"step {step}  loss {test_loss:.4f}  log_loss {math.log10(test_loss):.3f}")


if __name__ == "__main__":
    main()
