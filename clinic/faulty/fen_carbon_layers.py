"""Methane that a fen gives off: a deep network learns it from a simulator, then from two summers of chambers.

condition: vanishing-gradient
accepts: vanishing-gradient
allows: stalled, divergence, loss-spike, off-critical-initialisation
metric: error min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


def flux(state, site):
    """Water table, peat temperature, sedge cover, pH, radiation and air pressure; each in units of its spread."""
    table, peat, sedge, acid, light, pressure = state.T
    wet = torch.sigmoid(3 * table + site)
    made = torch.exp(0.45 * peat) * wet * (1 + 0.4 * torch.tanh(acid))
    eaten = 0.5 * torch.exp(0.25 * peat) * (1 - wet)
    plants = 0.4 * torch.relu(sedge + 0.3 * site) * torch.sigmoid(2 * light)
    return (made - eaten + plants - 0.2 * pressure).unsqueeze(1)


def survey(count, site, noise):
    state = torch.randn(count, 6)
    return TensorDataset(state, flux(state, site) - 0.7 + noise * torch.randn(count, 1))


def deep_network(width=48, depth=12):
    layers = [nn.Linear(6, width), nn.Tanh()]
    for _ in range(depth - 2):
        layers += [nn.Linear(width, width), nn.Tanh()]
    layers.append(nn.Linear(width, 1))
    for layer in layers[::2]:
        nn.init.xavier_normal_(layer.weight, gain=1.1)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def run_epoch(loader):
    for state, emission in loader:
        loss = loss_fn(model(state), emission)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def evaluate(data):
    state, emission = data.tensors
    return loss_fn(model(state), emission).sqrt().item()


model = deep_network()
loss_fn = nn.MSELoss()

simulated, simulated_held = survey(4000, -0.5, 0.1), survey(1000, -0.5, 0.1)
chambers, chambers_held = survey(1200, 0.6, 0.1), survey(1000, 0.6, 0.1)

optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(1, 13):
    run_epoch(DataLoader(simulated, batch_size=64, shuffle=True))
    print(f"epoch {epoch}  error {evaluate(simulated_held):.4f}")

# fewer measurements than simulated days, hence a little decay
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=0.3)
for epoch in range(13, 43):
    run_epoch(DataLoader(chambers, batch_size=64, shuffle=True))
    print(f"epoch {epoch}  error {evaluate(chambers_held):.4f}")
