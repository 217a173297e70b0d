"""How many bikes leave each of twenty docks in the next hour, beyond what is usual there? One network for all docks.

condition: healthy
metric: val_mae min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

DOCKS = 20


class Hours(Dataset):
    def __init__(self, n, generator):
        town = torch.Generator().manual_seed(11)
        taste = torch.randn(DOCKS, 3, generator=town) * 0.6
        level = 1.0 + 0.8 * torch.rand(DOCKS, generator=town)
        hour = 24 * torch.rand(n, generator=generator)
        rain, warmth = torch.rand(n, generator=generator), torch.randn(n, generator=generator)
        angle = hour * torch.pi / 12
        holiday = (torch.rand(n, generator=generator) < 0.3).float()
        self.x = torch.stack([angle.sin(), angle.cos(), (2 * angle).sin(), (2 * angle).cos(), rain, warmth, holiday], 1)
        commute = (2 * angle).sin() * (1 - holiday)
        causes = torch.stack([commute, warmth * (1 - rain), angle.cos() * holiday], 1)
        self.y = F.softplus(2 * (level + causes @ taste.T)) / 2 + 0.1 * torch.randn(n, DOCKS, generator=generator)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return {"features": self.x[i], "departures": self.y[i]}


class DemandNet(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(7, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.heads = nn.ModuleList([nn.Linear(hidden, 1) for _ in range(DOCKS)])
        for head in self.heads:
            nn.init.normal_(head.weight, std=0.05)
            nn.init.constant_(head.bias, -1.0)

    def forward(self, features):
        h = self.body(features)
        counts = torch.cat([head(h) for head in self.heads], 1)
        return F.softplus(counts)


def evaluate(model, data):
    with torch.no_grad():
        return (model(data.x) - data.y).abs().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train, val = Hours(1500, generator), Hours(500, generator)
    loader = DataLoader(train, batch_size=50, shuffle=True, generator=generator)
    model = DemandNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    step = 0
    for _ in range(8):
        for batch in loader:
            step += 1
            loss = (model(batch["features"]) - batch["departures"]).square().sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 12 == 0:
                print(f"step {step}  loss {loss.item():.4f}  val_mae {evaluate(model, val):.4f}")


if __name__ == "__main__":
    main()
