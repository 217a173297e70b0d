"""Which claims are looked into: a third of the labels are arbitrary, and the network must not learn them by heart.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn


def claims(n, noise):
    x = torch.randn(n, 10)
    clear = (x[:, 0] * x[:, 1] + 0.8 * x[:, 2] + 0.5 * x[:, 3].square() - 0.5 > 0).float()
    arbitrary = torch.rand(n) < noise
    return x, torch.where(arbitrary, torch.randint(2, (n,)).float(), clear)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = nn.Sequential(
        nn.Linear(10, 48), nn.ReLU(), nn.Dropout(0.1), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1), nn.Flatten(0)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CyclicLR(
        optimizer, 2e-4, 3e-3, step_size_up=100, mode="triangular2", cycle_momentum=False
    )
    loss_fn = nn.BCEWithLogitsLoss()
    val_x, val_y = claims(2000, 0.0)
    train_x, train_y = claims(20_000, 0.33)
    for step in range(1, 801):
        model.train()
        rows = torch.randint(len(train_x), (80,))
        loss = loss_fn(model(train_x[rows]), train_y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 40 == 0:
            model.eval()
            with torch.no_grad():
                val_error = ((model(val_x) > 0).float() != val_y).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
