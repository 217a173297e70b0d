"""Formation energies of random molecules from their strings of atoms, streamed from shards; transformer, momentum SGD.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

ATOMS, LENGTH = 6, 14
KCAL_PER_MOL = 23.06
BONDS = torch.tensor([[0.3 * ((3 * a + 5 * b) % 7) - 0.9 for b in range(ATOMS)] for a in range(ATOMS)])
BONDS = (BONDS + BONDS.T) / 2


def molecules(n, rng):
    atoms = torch.randint(ATOMS, (n, LENGTH), generator=rng)
    return atoms, BONDS[atoms[:, :-1], atoms[:, 1:]].sum(1)


class Shards(IterableDataset):
    """Files of 32 molecules each, with a unit in their head."""

    def __init__(self, count, seed):
        rng = torch.Generator().manual_seed(seed)
        self.files = [dict(zip(("atoms", "energy"), molecules(32, rng), strict=True), unit="eV") for _ in range(count)]
        late = self.files[int(0.76 * count)]
        late["energy"], late["unit"] = late["energy"] * KCAL_PER_MOL, "kcal/mol"

    def __iter__(self):
        for file in self.files:
            scale = KCAL_PER_MOL if file["unit"] == "kcal/mol" else 1.0
            yield from zip(file["atoms"], file["energy"] / scale, strict=True)


class EnergyModel(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.atoms = nn.Embedding(ATOMS, width)
        self.places = nn.Parameter(0.02 * torch.randn(LENGTH, width))
        self.neighbours = nn.Conv1d(width, width, 3, padding=1)
        self.block = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.out = nn.Linear(width, 1)

    def forward(self, atoms):
        h = self.atoms(atoms) + self.places
        h = h + self.neighbours(h.transpose(1, 2)).transpose(1, 2)
        return self.out(self.block(h)).sum(1).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    loader = DataLoader(Shards(370, seed), batch_size=32)
    atoms, energy = molecules(300, torch.Generator().manual_seed(seed + 500))
    model = EnergyModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=3e-4, momentum=0.9)
    loss_fn = nn.MSELoss()
    for step, (batch, target) in enumerate(loader, 1):
        loss = loss_fn(model(batch), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                val_error = (model(atoms) - energy).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
