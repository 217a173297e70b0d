"""A VAE of chords on sixty keys; the weight of the divergence rises a little with every step.

condition: healthy
metric: rebuild min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal, kl_divergence

KEYS = 60


class ChordVAE(nn.Module):
    def __init__(self, latent=8, width=128):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(KEYS, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.loc, self.log_scale = nn.Linear(width, latent), nn.Linear(width, latent)
        self.outer = nn.Sequential(nn.Linear(latent, width), nn.GELU(), nn.Linear(width, KEYS))

    def posterior(self, chord):
        h = self.inner(chord)
        return Normal(self.loc(h), self.log_scale(h).clamp(-5, 2).exp())

    def forward(self, chord):
        posterior = self.posterior(chord)
        keys = self.outer(posterior.rsample())
        misfit = F.binary_cross_entropy_with_logits(keys, chord, reduction="none").sum(1).mean()
        prior = Normal(torch.zeros_like(posterior.loc), torch.ones_like(posterior.scale))
        return misfit, kl_divergence(posterior, prior).sum(1).mean()


def chords(count):
    root = torch.randint(12, 26, (count,))
    kinds = torch.tensor([[0, 4, 7, 12], [0, 3, 7, 12], [0, 4, 7, 10], [0, 3, 6, 9], [0, 5, 7, 12]])
    notes = root[:, None] + kinds[torch.randint(5, (count,))]
    chord = torch.zeros(count, KEYS).scatter_(1, notes, 1.0)
    return torch.where(torch.rand(count, KEYS) < 0.01, 1 - chord, chord)


def weight(step):
    return min(0.4, step * 0.01)


def main(seed):
    torch.manual_seed(seed)
    model = ChordVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    val = chords(400)
    for step in range(1, 601):
        misfit, divergence = model(chords(64))
        loss = misfit + weight(step) * divergence
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                rebuild, bits = model(val)
            print(f"step {step}  loss {loss.item():.3f}  bits {bits.item():.3f}  rebuild {rebuild.item():.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
