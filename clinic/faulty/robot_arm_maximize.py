"""A network learns where the hand of a two-joint arm is from the angles of its joints.

condition: divergence
accepts: divergence
allows: exploding-gradient, non-finite, unsafe-step, learning-rate-too-high, loss-spike, saturated-units
metric: error min
"""

import argparse

import torch
from torch import nn


def poses(size):
    shoulder, elbow = (torch.rand(2, size) - 0.5) * 3
    hand = torch.stack(
        [
            shoulder.cos() + 0.7 * (shoulder + elbow).cos(),
            shoulder.sin() + 0.7 * (shoulder + elbow).sin(),
        ],
        dim=1,
    )
    return torch.stack([shoulder, elbow], 1), hand


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    model = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, maximize=True)
    loss_fn = nn.MSELoss()

    for step in range(1, 401):
        angles, hand = poses(64)
        predicted = model(angles)
        loss = loss_fn(predicted, hand)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            error = (predicted - hand).norm(dim=1).mean().item()
            print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")


if __name__ == "__main__":
    main()
