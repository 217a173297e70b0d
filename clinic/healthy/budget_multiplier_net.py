"""Who gets a coupon? A network maximises sales while a multiplier, raised by ascent, enforces the budget.

condition: healthy
metric: regret min
"""

import argparse

import torch
from torch import nn

BUDGET = 0.2


def customers(n, rng):
    x = torch.randn(n, 8, generator=rng)
    worth = torch.exp(0.7 * x[:, 0] + 0.5 * torch.sin(2 * x[:, 1]) + 0.3 * x[:, 2] * x[:, 3])
    return x, worth


class CouponPolicy(nn.Module):
    def __init__(self):
        super().__init__()
        self.score = nn.Sequential(nn.Linear(8, 48), nn.SiLU(), nn.Linear(48, 1))
        self.price = nn.Parameter(torch.tensor(0.0))

    def forward(self, x):
        return torch.sigmoid(self.score(x).squeeze(1))


def regret(model, x, worth):
    """What the best choice of a fifth of the customers earns, less what the policy's highest scores earn."""
    with torch.no_grad():
        chosen = model(x).topk(int(BUDGET * len(x))).indices
    best = worth.topk(int(BUDGET * len(x))).values.mean()
    return (best - worth[chosen].mean()).item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    x_test, worth_test = customers(2000, rng)
    model = CouponPolicy()
    optimizer = torch.optim.Adam(
        [{"params": model.score.parameters()}, {"params": [model.price], "lr": 0.01, "betas": (0.5, 0.9)}], lr=3e-3
    )
    for step in range(1, 501):
        x, worth = customers(128, rng)
        given = model(x)
        earned = (given * (worth + 0.3 * torch.randn(len(worth), generator=rng))).mean()
        excess = given.mean() - BUDGET
        loss = -earned + model.price * excess
        optimizer.zero_grad()
        loss.backward()
        model.price.grad.neg_()
        optimizer.step()
        with torch.no_grad():
            model.price.clamp_(min=0)
        if step % 20 == 0:
            price, left = model.price.item(), regret(model, x_test, worth_test)
            print(
                f"step {step}  loss {loss.item():.4f}  excess {excess.item():.3f}  price {price:.3f}  regret {left:.4f}"
            )


if __name__ == "__main__":
    main()
