"""Height of the surge in a gale from wind, pressure and tide; micro-batches are accumulated to one step of SGD.

condition: healthy
metric: val_rmse min
"""

import argparse

import torch
import torch.nn as nn

MICRO = 4


def gales(n):
    x = torch.randn(n, 5)
    wind, pressure, tide, fetch, turn = x.T
    y = (
        torch.sin(turn) * wind
        + 0.4 * (wind - 0.5 * pressure) ** 2 * torch.sigmoid(2 * fetch)
        - 0.6 * torch.tanh(tide * wind)
    )
    return x, (y - 0.25).unsqueeze(1) + 0.1 * torch.randn(n, 1)


class SurgeNet(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.enter = nn.Linear(5, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU()) for _ in range(2)
        )
        self.leave = nn.Linear(width, 1)

    def forward(self, x):
        h = torch.nn.functional.gelu(self.enter(x))
        for block in self.blocks:
            h = h + block(h)
        return self.leave(h)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=2e-2)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    model = SurgeNet()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / 30, max(0.02, 1 - s / 600)))
    val_x, val_y = gales(1500)
    for step in range(1, 601):
        optimizer.zero_grad()
        total = 0.0
        for _ in range(MICRO):
            x, y = gales(16)
            loss = loss_fn(model(x), y) / MICRO
            loss.backward()
            total += loss.item()
        optimizer.step()
        scheduler.step()
        if step % 30 == 0:
            with torch.no_grad():
                rmse = loss_fn(model(val_x), val_y).sqrt().item()
            print(f"step {step}  loss {total:.4f}  val_rmse {rmse:.4f}")


if __name__ == "__main__":
    main()
