"""Concentration of a drug after any dose: a neural ODE's right side, by Adam first, then polished by L-BFGS.

condition: healthy
metric: rel_error min
"""

import argparse

import torch
from torch import nn

TIMES, PARTS = 12, 2


def patients(count, rng):
    """Gut and blood: absorption, saturable clearance; blood is measured."""
    dose = 0.5 + 2 * torch.rand(count, 1, generator=rng)
    gut, blood, seen = dose.clone(), torch.zeros(count, 1), []
    for _ in range(TIMES):
        for _ in range(10):
            into = 1.2 * gut
            gut = gut - 0.05 * into
            blood = blood + 0.05 * (into - 1.5 * blood / (0.6 + blood))
        seen.append(torch.cat([gut, blood], 1))
    path = torch.stack(seen, 1)
    return dose, path


class Rates(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2)
        )

    def forward(self, dose):
        state, path, h = torch.cat([dose, torch.zeros_like(dose)], 1), [], 0.5 / PARTS
        for _ in range(TIMES):
            for _ in range(PARTS):
                middle = state + h / 2 * self.net(state - 0.5)
                state = state + h * self.net(middle - 0.5)
            path.append(state)
        return torch.stack(path, 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    dose, path = patients(160, rng)
    measured = path + 0.01 * torch.randn(path.shape, generator=rng)
    val_dose, val_path = patients(200, rng)
    model, loss_fn = Rates(), nn.MSELoss()

    def report(step, loss):
        with torch.no_grad():
            rel_error = ((model(val_dose) - val_path).norm() / val_path.norm()).item()
        print(f"step {step}  loss {loss.item():.3e}  rel_error {rel_error:.5f}")

    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    slower = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    for step in range(1, 201):
        rows = torch.randperm(160)[:40]
        loss = loss_fn(model(dose[rows]), measured[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        slower.step()
        if step % 20 == 0:
            report(step, loss)

    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3, history_size=30, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = loss_fn(model(dose), measured)
        loss.backward()
        return loss

    for step in range(201, 241):
        loss = optimizer.step(closure)
        if step % 4 == 0:
            report(step, loss)


if __name__ == "__main__":
    main()
