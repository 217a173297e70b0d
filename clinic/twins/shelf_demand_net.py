"""How many pieces of each of forty articles are sold on a day: one network with an output for each article.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

ARTICLES, DAYS = 40, 6000


def history():
    """Most articles sell seldom; weekday, weather, price cuts and the season move all of them."""
    weekday = torch.randint(7, (DAYS,))
    onehot = torch.eye(7)[weekday]
    weather = torch.randn(DAYS, 3)
    cut = (torch.rand(DAYS, 4) < 0.2).float()
    season = torch.rand(DAYS, 1) * 2 * torch.pi
    features = torch.cat([onehot, weather, cut, season.sin(), season.cos()], dim=1)
    effect = 0.5 * torch.randn(features.shape[1], ARTICLES)
    base = torch.linspace(-2.0, 0.8, ARTICLES)
    rate = torch.exp(base + features @ effect - 0.5 * (effect**2).sum(0) * 0.6)
    return features, torch.poisson(rate.clamp(max=30)), rate.clamp(max=30)


class Demand(nn.Module):
    def __init__(self, inputs, width=96):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.sales = nn.Linear(width, ARTICLES)
        self.positive = nn.Softplus()

    def forward(self, features):
        return self.positive(self.sales(self.trunk(features)))


def validate(model, features, rate):
    model.eval()
    with torch.no_grad():
        error = (model(features) - rate).square().mean(0).sqrt() / rate.std(0)
    model.train()
    return error.mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    features, sold, rate = history()
    loader = DataLoader(TensorDataset(features[:5000], sold[:5000]), batch_size=64, shuffle=True)
    model = Demand(features.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=0.01)
    loss_fn = nn.MSELoss()
    for epoch in range(1, 17):
        total = 0.0
        for rows, pieces in loader:
            loss = loss_fn(model(rows), pieces)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        error = validate(model, features[5000:], rate[5000:])
        print(f"epoch {epoch}  loss {total / len(loader):.4f}  val_error {error:.4f}")


if __name__ == "__main__":
    main()
