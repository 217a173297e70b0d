"""Peptides in a small latent space: a GRU reads the chain, another writes it from the code alone.

condition: posterior-collapse
accepts: posterior-collapse
allows: loss-term-imbalance, divergence, stalled, loss-spike
metric: val_recon min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

ACIDS, LENGTH, CODE = 12, 14, 6


class Family:
    """A chain comes from one of nine motifs, shifted, with two residues' swaps and a helix's preference."""

    def __init__(self, rng):
        self.rng = rng
        self.motif = torch.randint(0, ACIDS, (9, LENGTH), generator=rng)

    def chains(self, count):
        kind = torch.randint(0, 9, (count,), generator=self.rng)
        shift = torch.randint(0, 3, (count, 1), generator=self.rng)
        chain = self.motif[kind].gather(1, (torch.arange(LENGTH) + shift) % LENGTH)
        mutated = torch.rand(count, LENGTH, generator=self.rng) < 0.08
        return torch.where(mutated, torch.randint(0, ACIDS, chain.shape, generator=self.rng), chain)


class PeptideVAE(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.acid = nn.Embedding(ACIDS, 16)
        self.reader = nn.GRU(16, width, batch_first=True)
        self.code = nn.Linear(width, 2 * CODE)
        self.place = nn.Parameter(0.1 * torch.randn(LENGTH, 8))
        self.writer = nn.GRU(CODE + 8, width, batch_first=True)
        self.out = nn.Linear(width, ACIDS)

    def encode(self, chain):
        mean, log_var = self.code(self.reader(self.acid(chain))[1][0]).chunk(2, 1)
        return mean, log_var.clamp(-8, 4)

    def decode(self, z):
        places = self.place.expand(len(z), -1, -1)
        return self.out(self.writer(torch.cat([z.unsqueeze(1).expand(-1, LENGTH, -1), places], 2))[0])


def recon(model, z, chain):
    return F.cross_entropy(model.decode(z).transpose(1, 2), chain, reduction="none").sum(1).mean()


def kl_weight(step):
    return step / 100


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    family = Family(torch.Generator().manual_seed(seed))
    val = family.chains(600)
    model = PeptideVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.2, 1000)
    for step in range(1, 1001):
        chain = family.chains(48)
        mean, log_var = model.encode(chain)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()
        loss = recon(model, z, chain) + kl_weight(step) * kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 40 == 0:
            with torch.no_grad():
                val_recon = recon(model, model.encode(val)[0], val).item() / LENGTH
            print(f"step {step}  loss {loss.item():.3f}  kl {kl.item():.3f}  val_recon {val_recon:.4f}")


if __name__ == "__main__":
    main()
