"""Which mixture of five isotopes does a detector see? It learns during a shift, in which the source is moved closer.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn

CHANNELS, ISOTOPES, READINGS = 80, 5, 1500


class Detector:
    def __init__(self, seed):
        self.rng = torch.Generator().manual_seed(seed)
        lines = torch.Generator().manual_seed(77)
        channel = torch.arange(CHANNELS)
        centre = torch.rand(ISOTOPES, 3, 1, generator=lines) * 70 + 5
        height = torch.rand(ISOTOPES, 3, 1, generator=lines) + 0.2
        self.spectra = (height * torch.exp(-0.5 * ((channel - centre) / 2.0) ** 2)).sum(1) + 0.1 * torch.exp(
            -channel / 30
        )

    def read(self, n, rate):
        shares = torch.rand(n, ISOTOPES, generator=self.rng) ** 3
        shares = shares / shares.sum(1, keepdim=True)
        strength = rate * (0.5 + torch.rand(n, 1, generator=self.rng))
        counts = torch.poisson(strength * shares @ self.spectra, generator=self.rng)
        return counts.half(), shares


class PowerNorm(nn.Module):
    """Root-mean-square norm: the distance of the source plays no part after it."""

    def forward(self, counts):
        power = counts.float().square().mean(1, keepdim=True)
        return (counts * torch.rsqrt(power + 1e-3)).float()


class IsotopeNet(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.norm = PowerNorm()
        self.body = nn.Sequential(nn.Linear(CHANNELS, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.head = nn.Linear(width, ISOTOPES)

    def forward(self, counts):
        return self.head(self.body(self.norm(counts))).log_softmax(-1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

detector = Detector(args.seed)
model = IsotopeNet()
loss_fn = nn.KLDivLoss(reduction="batchmean")
optimizer = torch.optim.RMSprop(model.parameters(), lr=5e-4)
errors = []
for reading in range(1, READINGS + 1):
    distance = 1.0 - 0.8 * reading / READINGS
    counts, shares = detector.read(32, rate=40 / distance**2)
    output = model(counts)
    errors.append((output.exp() - shares).abs().mean().item())
    optimizer.zero_grad()
    loss = loss_fn(output, shares)
    loss.backward()
    optimizer.step()
    if reading % 50 == 0:
        print(f"reading {reading}  loss {loss.item():.4f}  error {sum(errors[-50:]) / 50:.4f}")
