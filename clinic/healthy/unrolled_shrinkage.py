"""Echoes of a sonar as few spikes: ten unrolled shrinkage steps learn to find them (LISTA).

condition: healthy
metric: val_nmse min
"""

import argparse

import torch
from torch import nn

SAMPLES, SPIKES = 40, 80


class Unrolled(nn.Module):
    def __init__(self, wavelets, depth=8):
        super().__init__()
        bound = 1.01 * torch.linalg.matrix_norm(wavelets, 2) ** 2
        self.into = nn.Parameter((wavelets.T / bound).clone())
        self.inhibit = nn.Parameter(torch.eye(SPIKES) - wavelets.T @ wavelets / bound)
        self.bars = nn.Parameter(torch.full((depth, SPIKES), 0.1 / bound.item()))

    def forward(self, signal):
        """The code after every step."""
        drive, code, codes = signal @ self.into.T, torch.zeros(len(signal), SPIKES), []
        for bar in self.bars:
            before = drive + code @ self.inhibit.T
            code = before.sign() * torch.relu(before.abs() - bar)
            codes.append(code)
        return codes


class Sonar:
    def __init__(self, seed):
        self.rng = torch.Generator().manual_seed(seed)
        self.wavelets = nn.functional.normalize(torch.randn(SAMPLES, SPIKES, generator=self.rng), dim=0)

    def listen(self, count):
        there = torch.rand(count, SPIKES, generator=self.rng) < 0.06
        code = there * torch.randn(count, SPIKES, generator=self.rng)
        return code @ self.wavelets.T + 0.02 * torch.randn(count, SAMPLES, generator=self.rng), code


def main(seed):
    torch.manual_seed(seed)
    sonar = Sonar(seed)
    signal_val, code_val = sonar.listen(1500)
    model = Unrolled(sonar.wavelets)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9975)
    for step in range(1, 1401):
        signal, code = sonar.listen(100)
        codes = model(signal)
        loss = sum(0.6 ** (len(codes) - 1 - k) * (c - code).pow(2).sum(1).mean() for k, c in enumerate(codes))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.bars.clamp_(min=0)
        if step % 70 == 0:
            with torch.no_grad():
                found = model(signal_val)[-1]
            nmse = (found - code_val).pow(2).sum() / code_val.pow(2).sum()
            print(
                f"step {step}  loss {loss.item():.4f}  nonzero {(found != 0).float().mean().item():.3f}  val_nmse {nmse.item():.4f}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
