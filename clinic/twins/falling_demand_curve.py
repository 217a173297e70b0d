"""Demand falls with price, distance and waiting time: a network that can only fall in all of its inputs.

condition: healthy
metric: r2 max
"""

import argparse

import torch
from sklearn.metrics import r2_score
from torch import nn
from torch.nn import functional as F


class SignedLinear(nn.Module):
    """A linear map whose weights all have one sign."""

    def __init__(self, fan_in, fan_out, sign):
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(fan_out, fan_in))
        self.bias = nn.Parameter(torch.zeros(fan_out))
        self.sign = sign

    def forward(self, x):
        return F.linear(x, self.sign * F.softplus(self.raw) / len(x[0]), self.bias)


model = nn.Sequential(SignedLinear(3, 32, -1), nn.ReLU(), SignedLinear(32, 16, 1), nn.ReLU(), SignedLinear(16, 1, 1))


def sales(count):
    price, distance, wait = (1 + 4 * torch.rand(count)), 20 * torch.rand(count), torch.rand(count)
    demand = torch.exp(-0.5 * price) * (1 + 1 / (1 + 0.3 * distance)) - 0.1 * wait
    inputs = torch.stack([price / 5, distance / 20, wait], 1)
    return inputs, (demand / demand.std()).unsqueeze(1) + 0.1 * torch.randn(count, 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    for layer in model:
        if isinstance(layer, SignedLinear):
            nn.init.normal_(layer.raw, 1, 1)
            nn.init.uniform_(layer.bias, 0, 1)
    inputs, demand = sales(2000)
    new_inputs, new_demand = sales(500)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    loss_fn = nn.MSELoss()
    for step in range(1, 301):
        rows = torch.randint(2000, (64,))
        loss = loss_fn(model(inputs[rows]), demand[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                r2 = r2_score(new_demand, model(new_inputs))
            print(f"step {step}  loss {loss.item():.4f}  r2 {r2:.4f}")


if __name__ == "__main__":
    main()
