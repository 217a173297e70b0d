"""Tomorrow's return of a stock from twenty factors: nine tenths of its variance are noise that nobody can foresee.

condition: healthy
metric: correlation max
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Market:
    def __init__(self, factors, generator):
        self.generator = generator
        self.weights = torch.randn(factors, generator=generator) / factors**0.5
        self.cross = torch.randn(factors, generator=generator) / factors**0.5

    def days(self, count):
        factors = torch.randn(count, len(self.weights), generator=self.generator)
        foreseen = factors @ self.weights + 0.7 * torch.tanh(factors @ self.cross)
        surprise = 2.8 * torch.randn(count, generator=self.generator)
        returns = 0.01 * (foreseen + surprise)
        return factors, returns


class Model(nn.Module):
    def __init__(self, factors):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(factors, 32), nn.SiLU(), nn.Dropout(0.3), nn.Linear(32, 16), nn.SiLU(), nn.Linear(16, 1)
        )

    def forward(self, factors):
        return self.layers(factors).squeeze(1)


def correlation(model, factors, returns):
    model.eval()
    with torch.no_grad():
        forecast = model(factors)
    model.train()
    return torch.corrcoef(torch.stack([forecast, returns]))[0, 1].item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    market = Market(20, generator)
    factors, returns = market.days(6000)
    scale = returns.std()
    loader = DataLoader(TensorDataset(factors, returns / scale), batch_size=128, shuffle=True, generator=generator)
    new_factors, new_returns = market.days(2000)
    model = Model(20)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.05)
    loss_fn = nn.MSELoss()
    step = 0
    for _ in range(8):
        for batch, target in loader:
            step += 1
            loss = loss_fn(model(batch), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 15 == 0:
                value = correlation(model, new_factors, new_returns)
                print(f"step {step}  loss {loss.item():.4f}  correlation {value:.4f}")


if __name__ == "__main__":
    main()
