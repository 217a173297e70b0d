"""Next month's spending of a card's holder from the last one's; the batches get smaller after a third of the epochs.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


def holders(n, rng):
    spent = torch.randn(n, 9, generator=rng)
    a, b, c = spent[:, 0], spent[:, 1], spent[:, 2]
    following = (
        torch.tanh(a + b) + 0.6 * torch.sin(2 * c) * (spent[:, 3] > 0) + 0.4 * spent[:, 4:].mean(1) + 0.5 * a * c
    )
    return spent, following + 0.7 * torch.randn(n, generator=rng)


class SpendNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(9, 80), nn.Linear(80, 80), nn.Linear(80, 1)

    def forward(self, x):
        x = torch.relu(self.a(x))
        return self.c(torch.relu(self.b(x))).flatten()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    train, (x_val, y_val) = TensorDataset(*holders(6400, rng)), holders(2000, rng)
    coarse = DataLoader(train, batch_size=64, shuffle=True)
    fine = DataLoader(train, batch_size=16, shuffle=True)
    plan = [coarse] * 4 + [fine] * 3
    model, loss_fn = SpendNet(), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=sum(len(loader) for loader in plan))
    step = 0
    for epoch, loader in enumerate(plan):
        for x, y in loader:
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            step += 1
            if step % 50 == 0:
                with torch.no_grad():
                    val_loss = loss_fn(model(x_val), y_val).item()
                print(f"step {step}  epoch {epoch + 1}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
