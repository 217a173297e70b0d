"""A VAE of drum strokes' spectra; the divergence's weight rises over a warm-up.

condition: healthy
metric: reconstruction min
"""

import argparse

import torch
from torch import nn

BINS = 48


def strokes(n, generator):
    """Log-spectra: a fundamental with its overtones, a decay over the bins, some noise of the snares."""
    tone = 4 + 8 * torch.rand(n, 1, generator=generator)
    slope = 0.02 + 0.05 * torch.rand(n, 1, generator=generator)
    snare = torch.rand(n, 1, generator=generator)
    bins = torch.arange(BINS, dtype=torch.float32)
    peaks = sum(torch.exp(-(((bins - k * tone) / 1.5) ** 2)) / k for k in (1, 2, 3, 4))
    power = peaks * torch.exp(-slope * bins) + 0.3 * snare * (bins / BINS)
    return 3 * power + 0.1 * torch.randn(n, BINS, generator=generator)


class DrumVAE(nn.Module):
    def __init__(self, latent=4, width=96):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(BINS, width), nn.SiLU(), nn.Linear(width, 2 * latent))
        self.decoder = nn.Sequential(
            nn.Linear(latent, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, BINS)
        )

    def forward(self, x):
        mean, logvar = self.encoder(x).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
        divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1).mean()
        return self.decoder(z), divergence


class Trainer:
    def __init__(self, model, warm_up=40, weight=0.05):
        self.model, self.warm_up, self.weight = model, warm_up, weight
        self.optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        self.seen = 0

    def kl_weight(self):
        return self.weight * min(1.0, self.seen / self.warm_up)

    def fit(self, batches):
        for x in batches:
            self.seen += 1
            rebuilt, divergence = self.model(x)
            loss = (rebuilt - x).square().sum(1).mean() + self.kl_weight() * divergence
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train, val = strokes(3200, generator), strokes(400, generator)
    model = DrumVAE()
    trainer = Trainer(model)
    for epoch in range(1, 41):
        order = torch.randperm(len(train), generator=generator)
        loss = trainer.fit(train[order].split(64))
        with torch.no_grad():
            reconstruction = (model(val)[0] - val).square().sum(1).mean().item()
        print(f"epoch {epoch}  loss {loss:.4f}  reconstruction {reconstruction:.4f}")


if __name__ == "__main__":
    main()
