"""Ground state of an electron near two protons by a variational network; the energy is averaged over walkers.

condition: healthy
metric: energy min
"""

import argparse

import torch
from torch import nn

PROTONS = torch.tensor([[0.7, 0.0, 0.0], [-0.7, 0.0, 0.0]])


class Wave(nn.Module):
    """Logarithm of a positive wave function: a decaying envelope times a learned correction."""

    def __init__(self):
        super().__init__()
        self.log_decay = nn.Parameter(torch.tensor(0.0))
        self.body = nn.Sequential(nn.Linear(3, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))
        nn.init.normal_(self.body[4].weight, std=0.02)

    def forward(self, r):
        far = (r[:, None] - PROTONS).norm(dim=2)
        envelope = torch.logsumexp(-self.log_decay.exp() * far, 1)
        features = torch.stack([far.sum(1) - 3, (far[:, 0] - far[:, 1]) ** 2, 3 * (-far).exp().sum(1)], 1) / 2
        return envelope + self.body(features)[:, 0]


def local_energy(wave, r):
    r = r.detach().requires_grad_()
    (slope,) = torch.autograd.grad(wave(r).sum(), r, create_graph=True)
    bend = sum(torch.autograd.grad(slope[:, k].sum(), r, retain_graph=True)[0][:, k] for k in range(3))
    far = (r[:, None] - PROTONS).norm(dim=2).clamp_min(1e-4)
    return (-0.5 * (bend + slope.pow(2).sum(1)) - (1 / far).sum(1) + 1 / 1.4).detach()


@torch.no_grad()
def walk(wave, r, moves, size=0.6):
    log = 2 * wave(r)
    for _ in range(moves):
        new = r + size * torch.randn_like(r)
        new_log = 2 * wave(new)
        go = torch.rand(len(r)).log() < new_log - log
        r, log = torch.where(go[:, None], new, r), torch.where(go, new_log, log)
    return r


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    wave = Wave()
    optimizer = torch.optim.Adam(wave.parameters(), lr=4e-3)
    steps = 600
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: 1 / (1 + s / 100))
    walkers = walk(wave, torch.randn(512, 3), 200)
    recent = []
    for step in range(1, steps + 1):
        walkers = walk(wave, walkers, 6)
        energy = local_energy(wave, walkers)
        middle = energy.median()
        spread = (energy - middle).abs().mean()
        held = energy.clamp(middle - 5 * spread, middle + 5 * spread)
        loss = 2 * ((held - held.mean()) * wave(walkers)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        recent.append(held.mean().item())
        if step % 20 == 0:
            print(f"step {step}  spread {spread.item():.4f}  energy {sum(recent[-20:]) / 20:.4f}")


if __name__ == "__main__":
    main()
