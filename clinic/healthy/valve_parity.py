"""Does the plant run? It depends on the parity of four valves out of fourteen; nothing else tells.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

VALVES = 14
DECIDE = [1, 5, 6, 11]


def shifts(count, rng):
    valves = torch.randint(0, 2, (count, VALVES), generator=rng)
    runs = valves[:, DECIDE].sum(1) % 2
    wrong = torch.rand(count, generator=rng) < 0.02
    return 2.0 * valves - 1, torch.where(wrong, 1 - runs, runs).float()


class Plant(nn.Module):
    def __init__(self, width=256):
        super().__init__()
        self.hidden, self.out = nn.Linear(VALVES, width), nn.Linear(width, 1)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x))).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    val_x, val_y = shifts(2000, rng)
    model, loss_fn = Plant(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=1e-3)
    for step in range(1, 3001):
        x, y = shifts(64, rng)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 2400:
            optimizer.param_groups[0]["lr"] = 3e-4
        if step % 100 == 0:
            with torch.no_grad():
                val_error = ((model(val_x) > 0).float() != val_y).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


main()
