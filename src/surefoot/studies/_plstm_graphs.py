"""What the pLSTM study trains on molecules."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from surefoot.nn.plstm import PLSTMGraph
from surefoot.studies.problems.molecules import ATOM_FEATURES, BOND_FEATURES, Batch, Molecule, batch, molecules


class GraphBlock(nn.Module):
    """x + PLSTMGraph(norm x) along the bonds, the same against them, then x + MLP(norm x)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.RMSNorm(dim, eps=1e-5) for _ in range(3))
        self.there, self.back = (PLSTMGraph(dim, heads, "P", edge_dim=BOND_FEATURES) for _ in range(2))
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor, given: Batch) -> Tensor:
        x = x + self.there(self.norms[0](x), given.graph, given.bonds)
        x = x + self.back(self.norms[1](x), given.graph.reversed(), given.bonds)
        return x + self.mlp(self.norms[2](x))


class Area(nn.Module):
    """Atoms to a number each, summed over a molecule. Without blocks it sees atoms, but no graph."""

    def __init__(self, blocks: int, dim: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(ATOM_FEATURES, dim), nn.GELU(), nn.Linear(dim, dim))
        self.blocks = nn.ModuleList(GraphBlock(dim, heads) for _ in range(blocks))
        self.head = nn.Sequential(nn.RMSNorm(dim, eps=1e-5), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 1))

    def forward(self, given: Batch) -> Tensor:
        x = self.embed(given.atoms)
        for block in self.blocks:
            x = block(x, given)
        return x.new_zeros(len(given.areas)).index_add(0, given.part, self.head(x).squeeze(-1))


def train_areas(blocks: int, steps: int, seed: int, folder: Path | None, tests: int = 512) -> tuple[float, float, bool]:
    """Mean absolute error on held-out molecules (Å²), that of the training mean, and whether data are synthetic."""
    found, synthetic = molecules(tests + 64 * min(steps, 64), folder, seed)
    held, rest = found[:tests], found[tests:]
    center, spread = _moments(rest)
    torch.manual_seed(seed)
    model = Area(blocks)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        given = batch([rest[i] for i in torch.randint(len(rest), (64,), generator=generator).tolist()])
        loss = nn.functional.smooth_l1_loss(model(given), given.areas / spread)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    given = batch(held)
    with torch.no_grad():
        error = (spread * model(given) - given.areas).abs().mean()
    return float(error), float((given.areas - center).abs().mean()), synthetic


def _moments(chosen: list[Molecule]) -> tuple[float, float]:
    areas = torch.tensor([molecule.area for molecule in chosen])
    return float(areas.mean()), float(areas.std())
