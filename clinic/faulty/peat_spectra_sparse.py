"""Spectra of peat as sparse sums of pure substances: an overcomplete autoencoder; sparsity is asked for after a warm-up.

condition: dead-units
accepts: dead-units, loss-term-imbalance
allows: stalled, loss-term-imbalance
metric: val_error min
"""

import argparse

import torch
from torch import nn


class SparseAutoencoder(nn.Module):
    def __init__(self, bands=32, codes=128):
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(bands))
        self.encoder = nn.Linear(bands, codes)
        self.decoder = nn.Linear(codes, bands, bias=False)
        with torch.no_grad():
            self.decoder.weight.div_(self.decoder.weight.norm(dim=0))
            self.encoder.weight.copy_(self.decoder.weight.T)
            self.encoder.bias.zero_()

    def forward(self, x):
        code = torch.relu(self.encoder(x - self.offset))
        return self.decoder(code) + self.offset, code


class Peat:
    def __init__(self, substances=48, bands=32):
        pure = torch.randn(substances, bands)
        self.pure = pure / pure.norm(dim=1, keepdim=True)

    def spectra(self, n):
        share = (torch.rand(n, len(self.pure)) < 0.08) * (0.5 + torch.rand(n, len(self.pure)))
        return 2 * share @ self.pure + 0.05 * torch.randn(n, self.pure.shape[1])


def run(seed, steps=1000, l1=0.5):
    torch.manual_seed(seed)
    peat = Peat()
    held = peat.spectra(1500)
    model = SparseAutoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        x = peat.spectra(128)
        rebuilt, code = model(x)
        weight = l1 * min(1.0, max(0.0, (step - 300) / 300))
        loss = (rebuilt - x).square().sum(1).mean() + weight * code.sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        with torch.no_grad():
            model.decoder.weight.div_(model.decoder.weight.norm(dim=0).clamp(min=1))
        if step % 40 == 0:
            with torch.no_grad():
                rebuilt, code = model(held)
                error = ((rebuilt - held).square().sum(1).mean() / held.square().sum(1).mean()).item()
            print(f"step {step}  active {(code > 0).float().mean().item():.3f}  val_error {error:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args().seed)
