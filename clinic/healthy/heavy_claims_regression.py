"""Storm claims: most are small and a few are huge. Embeddings and a network, squared error of the amounts, clipping.

condition: healthy
metric: deviance min
"""

import argparse

import torch
from torch import nn

REGIONS, ROOFS = 20, 4


def portfolio(n, rng):
    region = torch.randint(REGIONS, (n,), generator=rng)
    roof = torch.randint(ROOFS, (n,), generator=rng)
    wind = torch.rand(n, generator=rng)
    size = torch.randn(n, generator=rng)
    expected = torch.exp(0.9 * torch.sin(region.float()) + 0.4 * roof + 1.5 * wind.square() + 0.3 * size - 1)
    spread = 1.1
    claim = expected * torch.exp(spread * torch.randn(n, generator=rng) - spread**2 / 2)
    return (region, roof, torch.stack([wind, size], dim=1)), claim, expected


class ClaimModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.region, self.roof = nn.Embedding(REGIONS, 6), nn.Embedding(ROOFS, 3)
        self.body = nn.Sequential(nn.Linear(11, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))

    def forward(self, region, roof, numbers):
        x = torch.cat([self.region(region), self.roof(roof), numbers], dim=1)
        return nn.functional.softplus(self.body(x).squeeze(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    table, claim, _ = portfolio(6000, rng)
    test, _, expected = portfolio(1500, rng)
    model = ClaimModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.MSELoss()
    for step in range(1, 481):
        rows = torch.randint(6000, (64,), generator=rng)
        loss = loss_fn(model(*(part[rows] for part in table)), claim[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                guess = model(*test).clamp(min=1e-3)
            deviance = 2 * ((expected - guess) / guess - (expected / guess).log()).mean().item()
            print(f"step {step}  loss {loss.item():.3f}  deviance {deviance:.4f}")


if __name__ == "__main__":
    main()
