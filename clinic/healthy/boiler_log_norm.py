"""A boiler's efficiency from its log, columns in pascal, parts per million and seconds; batch norm comes first.

condition: healthy
infos: unscaled-inputs
metric: val_error min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def log_rows(n, rng):
    pressure = 1.1e6 + 1.5e5 * torch.randn(n, generator=rng)
    oxygen = 3e4 + 9e3 * torch.rand(n, generator=rng)
    opening = 0.2 + 0.02 * torch.rand(n, generator=rng)
    burning = 4e3 * torch.rand(n, generator=rng)
    flow = 3e-4 + 5e-5 * torch.randn(n, generator=rng)
    p, f = (pressure - 1.1e6) / 1.5e5, (flow - 3e-4) / 5e-5
    loss = 1.5 * torch.sin(2 * p) + 0.8 * f * (oxygen / 3e4 - 1.15) * 6 + (opening - 0.21) * 90 + burning / 2e3
    efficiency = 88 - loss + 0.1 * torch.randn(n, generator=rng)
    return torch.stack([pressure, oxygen, opening, burning, flow], dim=1), efficiency.unsqueeze(1)


class EfficiencyModel(nn.Module):
    def __init__(self, columns=5, usual=88.0):
        super().__init__()
        self.usual = usual
        self.norm = nn.BatchNorm1d(columns, eps=1e-12)
        self.body = nn.Sequential(nn.Linear(columns, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))

    def forward(self, rows):
        return self.usual + self.body(self.norm(rows))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    loader = DataLoader(TensorDataset(*log_rows(1600, rng)), batch_size=64, shuffle=True, generator=rng)
    rows, efficiency = log_rows(500, rng)
    model = EfficiencyModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    loss_fn = nn.MSELoss()
    for epoch in range(1, 19):
        model.train()
        for batch, target in loader:
            loss = loss_fn(model(batch), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val_error = (model(rows) - efficiency).abs().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
