"""A potential for clusters of seven atoms from energies and forces; a network of distances, forces by its gradient.

condition: loss-term-imbalance
accepts: loss-term-imbalance
allows: stalled, overfitting
metric: force_error min
"""

import argparse

import torch
from torch import nn

ATOMS = 7
MEV = 1000.0


def lennard_jones(positions, depth=0.0104, sigma=3.4):
    """Energies in eV and forces in eV per angstrom."""
    positions = positions.detach().requires_grad_(True)
    i, j = torch.triu_indices(ATOMS, ATOMS, 1)
    d = (positions[:, i] - positions[:, j]).norm(dim=-1)
    s = (sigma / d) ** 6
    energy = 4 * depth * (s * s - s).sum(1)
    forces = -torch.autograd.grad(energy.sum(), positions)[0]
    return energy.detach(), forces


def clusters(n, generator):
    a = 3.9
    ring = torch.arange(5) * 2 * torch.pi / 5
    base = torch.cat(
        [torch.stack([ring.cos(), ring.sin(), 0 * ring], 1) * 0.87, torch.tensor([[0, 0, 0.5], [0, 0, -0.5]])]
    )
    positions = a * base + 0.16 * torch.randn(n, ATOMS, 3, generator=generator)
    return positions, *lennard_jones(positions)


class PairPotential(nn.Module):
    def __init__(self, radial=16, hidden=48):
        super().__init__()
        self.register_buffer("centres", torch.linspace(2.6, 7.5, radial))
        self.net = nn.Sequential(nn.Linear(radial, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.readout = nn.Linear(hidden, 1)
        self.pairs = torch.triu_indices(ATOMS, ATOMS, 1)

    def forward(self, positions):
        i, j = self.pairs
        d = (positions[:, i] - positions[:, j]).norm(dim=-1)
        waves = torch.exp(-((d[..., None] - self.centres) ** 2) / 0.3)
        return self.readout(self.net(waves)).sum((1, 2)) / 20

    def energy_and_forces(self, positions, training=True):
        positions = positions.detach().requires_grad_(True)
        energy = self(positions)
        (slope,) = torch.autograd.grad(energy.sum(), positions, create_graph=training)
        return energy, -slope


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    positions, energy, forces = clusters(60, generator)
    test_positions, _, test_forces = clusters(100, generator)
    mean = energy.mean()
    energy, test_forces = (energy - mean) * MEV, test_forces * MEV

    model = PairPotential()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    for step in range(1, 401):
        rows = torch.randint(len(positions), (16,), generator=generator)
        e, f = model.energy_and_forces(positions[rows])
        energy_term = (e - energy[rows]).square().mean()
        force_term = (f / MEV - forces[rows]).square().mean()
        loss = energy_term + force_term
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            _, f = model.energy_and_forces(test_positions, training=False)
            force_error = (f - test_forces).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  force_error {force_error:.4f}")


if __name__ == "__main__":
    main()
