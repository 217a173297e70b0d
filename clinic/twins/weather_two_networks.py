"""Rain in the next hours from what a weather station measures; halfway a second network of stations joins in.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn


def weather(count, generator):
    """Pressure in hPa, temperature, dew point, wind and the trend of the pressure; whether it rains."""
    front = torch.randn(count, generator=generator)
    pressure = 1013 + 9 * front + 3 * torch.randn(count, generator=generator)
    temperature = 12 + 6 * torch.randn(count, generator=generator)
    dew = temperature - 4 * torch.rand(count, generator=generator) * (1.5 + front.clamp(min=-1))
    wind = (5 - 2 * front + 2 * torch.randn(count, generator=generator)).clamp(min=0)
    trend = -front + 0.7 * torch.randn(count, generator=generator)
    wet = -0.15 * (pressure - 1013) - 0.7 * (temperature - dew - 3) + 0.3 * (wind - 5) * trend.tanh()
    rain = (torch.rand(count, generator=generator) < torch.sigmoid(1.5 * wet)).float()
    return torch.stack([pressure, temperature, dew, wind, trend], 1), rain


USUAL = torch.tensor([1013.0, 12.0, 9.0, 5.0, 0.0])
SPREAD = torch.tensor([9.5, 6.0, 6.0, 3.0, 1.2])


def second_network(x):
    """Their loggers write the pressure in Pa and the temperatures in kelvin."""
    return x * torch.tensor([100.0, 1, 1, 1, 1]) + torch.tensor([0.0, 273.15, 273.15, 0, 0])


def prepare(x, network):
    if network == 2:
        x = (x - torch.tensor([0.0, 273.15, 273.15, 0, 0])) * torch.tensor([0.01, 1, 1, 1, 1])
    return (x - USUAL) / SPREAD


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
generator = torch.Generator().manual_seed(seed)
model = nn.Sequential(nn.Linear(5, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
loss_fn = nn.BCEWithLogitsLoss()
val_x, val_rain = weather(1500, generator)
for step in range(1, 1001):
    x, rain = weather(64, generator)
    x = prepare(x, 1)
    if step > 400:
        more, more_rain = weather(64, generator)
        x, rain = torch.cat([x, prepare(second_network(more), 2)]), torch.cat([rain, more_rain])
    loss = loss_fn(model(x).squeeze(1), rain)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 40 == 0:
        with torch.no_grad():
            first = loss_fn(model(prepare(val_x, 1)).squeeze(1), val_rain)
            second = loss_fn(model(prepare(second_network(val_x), 2)).squeeze(1), val_rain)
        print(f"step {step}  loss {loss.item():.4f}  val_loss {(first + second).item() / 2:.4f}")
