"""A variational autoencoder of island outlines, given as radius over bearing in kilometres.

The observation noise is recalibrated from held-out residuals as training proceeds.

condition: healthy
metric: rmse min
"""

import argparse
import math

import torch
from torch import nn

BEARINGS = 48
LATENTS = 6


def survey_islands(count, generator):
    """Radii of islands, a mean radius with a few harmonics that fade with their order."""
    angle = torch.linspace(0, 2 * math.pi, BEARINGS + 1)[:-1]
    radius = 30 + 9 * torch.randn(count, 1, generator=generator)
    outline = radius.expand(-1, BEARINGS).clone()
    for order in range(1, 4):
        size = 8.0 / order * torch.randn(count, 1, generator=generator)
        phase = 2 * math.pi * torch.rand(count, 1, generator=generator)
        outline += size * torch.cos(order * angle + phase)
    return outline + 0.8 * torch.randn(count, BEARINGS, generator=generator)


class OutlineVAE(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(BEARINGS, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2 * LATENTS)
        )
        self.decoder = nn.Sequential(
            nn.Linear(LATENTS, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, BEARINGS)
        )

    def forward(self, outline):
        mean, log_variance = self.encoder(outline).chunk(2, dim=1)
        latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return self.decoder(latent), mean, log_variance


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1500)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)

    outlines = survey_islands(4000, generator)
    centre, spread = outlines.mean(), outlines.std()
    held_out = outlines[3600:]
    train = (outlines[:3600] - centre) / spread
    valid = (held_out - centre) / spread

    model = OutlineVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    sigma = 0.5
    for step in range(1, arguments.steps + 1):
        batch = train[torch.randint(len(train), (64,), generator=generator)]
        rebuilt, mean, log_variance = model(batch)
        error = (0.5 * ((batch - rebuilt) / sigma) ** 2 + math.log(sigma)).sum(1).mean()
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
        loss = error + divergence
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

        if step % 25 == 0:
            model.eval()
            with torch.no_grad():
                code = model.encoder(valid)[:, :LATENTS]
                rebuilt = model.decoder(code)
                residual = rebuilt * spread + centre - held_out
            model.train()
            if step >= 500 and step % 50 == 0:
                sigma = max(float(residual.std() / spread), 0.05)
            print(
                f"step {step:4d}  loss {loss.item():9.3f}  kl {divergence.item():7.3f}  "
                f"rmse {residual.pow(2).mean().sqrt().item():.3f}"
            )


if __name__ == "__main__":
    main()
