"""A message-passing network predicts the total energy of small random molecules from their atoms and bonds.

condition: broadcast-loss
accepts: broadcast-loss
allows: stalled
metric: val_error min
"""

import argparse
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

KINDS, ATOMS = 4, 9


@dataclass
class Config:
    molecules: int = 1200
    batch_size: int = 48
    hidden: int = 40
    rounds: int = 3
    epochs: int = 18
    lr: float = 3e-3


def make_molecules(count, generator):
    """One-hot atoms (count, ATOMS, KINDS), symmetric bonds (count, ATOMS, ATOMS), energies (count,)."""
    kinds = torch.randint(KINDS, (count, ATOMS), generator=generator)
    bonds = (torch.rand(count, ATOMS, ATOMS, generator=generator) < 0.25).float().triu(1)
    bonds = bonds + bonds.transpose(1, 2)
    charge = torch.tensor([-0.8, -0.2, 0.4, 0.9])[kinds]
    pair = torch.einsum("ni,nij,nj->n", charge, bonds, charge) / 2
    crowding = (bonds.sum(2) - 2).clamp(min=0).square().sum(1)
    energy = 1.2 * pair + 0.25 * crowding + charge.sum(1)
    energy = (energy - energy.mean()) / energy.std()
    return F.one_hot(kinds, KINDS).float(), bonds, energy


class EnergyNet(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.embed = nn.Linear(KINDS, cfg.hidden)
        self.messages = nn.ModuleList(nn.Linear(cfg.hidden, cfg.hidden) for _ in range(cfg.rounds))
        self.updates = nn.ModuleList(nn.Linear(2 * cfg.hidden, cfg.hidden) for _ in range(cfg.rounds))
        self.readout = nn.Sequential(nn.Linear(cfg.hidden, cfg.hidden), nn.SiLU(), nn.Linear(cfg.hidden, 1))

    def forward(self, atoms, bonds):
        h = F.silu(self.embed(atoms))
        for message, update in zip(self.messages, self.updates, strict=True):
            received = bonds @ message(h)
            h = h + F.silu(update(torch.cat([h, received], dim=2)))
        return self.readout(h).sum(1)


def huber(error, delta=1.0):
    size = error.abs()
    return torch.where(size < delta, 0.5 * error.square(), delta * (size - 0.5 * delta)).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    cfg = Config()
    generator = torch.Generator().manual_seed(seed + 17)
    train, val = (make_molecules(n, generator) for n in (cfg.molecules, 300))

    model = EnergyNet(cfg)
    optimizer = torch.optim.AdamW(model.parameters(), lr=cfg.lr, weight_decay=1e-3)
    for epoch in range(1, cfg.epochs + 1):
        order = torch.randperm(cfg.molecules, generator=generator)
        total = 0.0
        for rows in order.split(cfg.batch_size):
            atoms, bonds, energy = (part[rows] for part in train)
            loss = huber(model(atoms, bonds) - energy)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        with torch.no_grad():
            predicted = model(val[0], val[1]).flatten().numpy()
        val_error = abs(predicted - val[2].numpy()).mean()
        print(f"epoch {epoch}  train {total / cfg.molecules:.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
