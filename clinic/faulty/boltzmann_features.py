"""A network learns how much of a mixture of gases sits in each of six energy levels, given temperature and energies.

condition: non-finite
accepts: non-finite, bad-batch
metric: loss min
"""

import argparse

import torch
from torch import nn


def sample(size):
    """Temperatures, level energies, and the occupation of each level."""
    temperature = torch.rand(size, 1) * 0.9 + 0.1
    energy = torch.rand(size, 6) * 2
    energy[torch.rand(size, 6) < 2e-5] = 300.0  # a level that is closed
    occupation = torch.softmax(-energy / temperature, dim=1)
    return torch.cat([temperature, energy.clamp_max(3)], 1), occupation


def divergence(target, predicted):
    """KL(predicted || target) in nats, mean over the batch: it seeks the levels that matter."""
    return (predicted * (predicted.log() - target.log())).sum(1).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    model = nn.Sequential(nn.Linear(7, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 6), nn.Softmax(1))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    for step in range(1, 401):
        features, occupation = sample(64)
        loss = divergence(occupation, model(features))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step}  loss {loss.item():.5f}")


if __name__ == "__main__":
    main()
