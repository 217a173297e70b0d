"""How bright was a flash and when? Photon counts in forty time bins; the likelihood is summed over bins and flashes.

condition: healthy
metric: off_by min
"""

import argparse

import torch
from torch import nn

BINS = 40


def flashes(n, generator):
    when = 5 + 25 * torch.rand(n, 1, generator=generator)
    size = (3 + 3 * torch.rand(n, 1, generator=generator)).exp()
    width = 1.5 + 2.5 * torch.rand(n, 1, generator=generator)
    bins = torch.arange(BINS)
    shape = torch.exp(-((bins - when) ** 2) / (2 * width**2)) / width
    rate = 1.0 + size * shape
    return torch.poisson(rate, generator=generator), rate


class PulseDecoder(nn.Module):
    """Counts go in, a smooth rate comes out; what is in between are six numbers."""

    def __init__(self, code=6, hidden=128):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(BINS, hidden), nn.GELU(), nn.Linear(hidden, code))
        self.decoder = nn.Sequential(nn.Linear(code, hidden), nn.GELU(), nn.Linear(hidden, BINS))
        nn.init.zeros_(self.decoder[-1].weight)
        nn.init.constant_(self.decoder[-1].bias, 1.5)

    def forward(self, counts):
        return self.decoder(self.encoder(counts.add(1).log() - 1.5))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    counts, _ = flashes(4000, generator)
    test_counts, test_rate = flashes(500, generator)
    model = PulseDecoder()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.5e-7, momentum=0.95)
    loss_fn = nn.PoissonNLLLoss(log_input=True, full=True, reduction="sum")
    for step in range(1, 501):
        rows = torch.randint(len(counts), (256,), generator=generator)
        loss = loss_fn(model(counts[rows]), counts[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                off_by = (model(test_counts) - test_rate.log()).abs().mean().item()
            print(f"step {step}  loss {loss.item():.1f}  off_by {off_by:.4f}")


if __name__ == "__main__":
    main()
