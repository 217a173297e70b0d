"""Binary codes of handwritten digits for a fast search; five digits to begin with, all ten later on.

condition: healthy
metric: precision max
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

BITS = 16


class Hasher(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, BITS)
        )
        self.steepness = 1.0

    def forward(self, x):
        return torch.tanh(self.steepness * self.body(x))

    @torch.no_grad()
    def code(self, x):
        return torch.sign(self.body(x))


def pair_loss(code, label):
    """Negative log-likelihood that two pictures show the same digit, from the inner product of their codes."""
    same = (label[:, None] == label[None]).float()
    theta = 0.5 * code @ code.T - 1
    weight = torch.where(same > 0, 3.0, 1.0)
    return (weight * (F.softplus(theta) - same * theta)).mean()


@torch.no_grad()
def precision(model, shelf, shelf_y, asked, asked_y, top=20):
    near = (model.code(asked) @ model.code(shelf).T).topk(top, dim=1).indices
    return (shelf_y[near] == asked_y[:, None]).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    x, y = load_digits(return_X_y=True)
    order = torch.randperm(len(x))
    x, y = torch.tensor(x, dtype=torch.float32)[order] / 8 - 0.6, torch.tensor(y)[order]
    train_x, train_y, asked, asked_y = x[:1300], y[:1300], x[1300:], y[1300:]
    early = torch.nonzero(train_y < 5).squeeze(1)
    model = Hasher()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(1, 701):
        model.steepness = 1 + step / 300
        pool = early if step <= 300 else torch.arange(1300)
        rows = pool[torch.randint(0, len(pool), (64,))]
        noisy = train_x[rows] + 0.3 * torch.randn(64, 64)
        loss = pair_loss(model(noisy), train_y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            found = precision(model, train_x, train_y, asked, asked_y)
            print(f"step {step}  loss {loss.item():.4f}  precision {found:.4f}")


main()
