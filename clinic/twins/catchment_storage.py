"""Flow out of a catchment from rain and evaporation by an LSTM; after a while the balance of water is asked for, too.

condition: healthy
metric: rmse min
"""

import argparse

import torch
from torch import nn

AREA = 12.0  # square kilometres


def season(count, days=40):
    """A bucket that spills and leaks; rain and evaporation in millimetres a day, flow in cubic metres a second."""
    rain = torch.relu(torch.randn(count, days) * 8 - 2)
    warm = 2 + torch.sin(torch.arange(days) / 9.0 + 6.28 * torch.rand(count, 1))
    store, flow, loss = 40 * torch.rand(count), [], []
    for day in range(days):
        store = store + rain[:, day]
        gone = torch.minimum(store, warm[:, day])
        out = 0.08 * (store - gone) + torch.relu(store - gone - 30) * 0.5
        store = store - gone - out
        flow.append(out * AREA / 86.4)
        loss.append(gone + 0.6 * torch.randn(count).abs())
    return torch.stack([rain, warm], 2), torch.stack(flow, 1), torch.stack(loss, 1)


class RunOff(nn.Module):
    def __init__(self, width=40):
        super().__init__()
        self.lstm = nn.LSTM(2, width, batch_first=True)
        self.out = nn.Linear(width, 1)

    def forward(self, weather):
        scaled = (weather - torch.tensor([3.0, 2.0])) / torch.tensor([5.0, 0.7])
        return nn.functional.softplus(self.out(self.lstm(scaled)[0])).squeeze(-1)


def water_left(flow, weather, evaporated):
    """What came down and neither ran off nor went into the air, over the last thirty days."""
    volume = AREA * 1000 * (weather[..., 0] - evaporated)[:, 10:].sum(1)
    return volume - 86400 * flow[:, 10:].sum(1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
model = RunOff()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 300, 0.5)
held = season(300)

for step in range(1, 901):
    weather, flow, evaporated = season(32)
    guess = model(weather)
    loss = (guess - flow).square().mean()
    if step > 400:
        loss = loss + 2e-8 * (water_left(guess, weather, evaporated) / 1000).square().mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    scheduler.step()
    if step % 30 == 0:
        with torch.no_grad():
            rmse = (model(held[0]) - held[1])[:, 10:].square().mean().sqrt().item()
        print(f"step {step}  loss {loss.item():.4f}  rmse {rmse:.4f}")
