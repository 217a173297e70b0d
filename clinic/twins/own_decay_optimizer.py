"""Forest covers, or a table like it: four classes from twenty columns, with an optimiser written for the purpose.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from sklearn.datasets import make_classification
from torch import nn


class DecayedMomentum(torch.optim.Optimizer):
    """Momentum whose weight decay does not go through the momentum."""

    def __init__(self, params, lr, momentum=0.9, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["velocity"] = torch.zeros_like(p)
                velocity = state["velocity"]
                velocity.mul_(group["momentum"]).sub_(p.grad, alpha=group["lr"])
                velocity_and_decay = velocity - group["lr"] * group["weight_decay"] * p
                p.add_(velocity_and_decay)


def make_table(seed):
    table, kinds = make_classification(
        2400, 20, n_informative=10, n_redundant=4, n_classes=4, flip_y=0.1, class_sep=1.0, random_state=seed
    )
    table = (table - table.mean(0)) / table.std(0)
    return torch.tensor(table, dtype=torch.float32), torch.tensor(kinds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    x, y = make_table(seed)
    model = nn.Sequential(nn.Linear(20, 64), nn.LeakyReLU(0.1), nn.Linear(64, 64), nn.LeakyReLU(0.1), nn.Linear(64, 4))
    optimizer = DecayedMomentum(model.parameters(), lr=0.02, weight_decay=0.3)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 501):
        rows = torch.randint(1800, (32,))
        loss = loss_fn(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(x[1800:]), y[1800:]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
