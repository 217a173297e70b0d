"""A set network in half precision tells how dense the core of a star cluster is from its 400 stars.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn

STARS = 400


def clusters(size):
    """Positions and masses of stars, and the radius of the core (between 0.2 and 1)."""
    radius = 0.2 + 0.8 * torch.rand(size, 1)
    position = 60 * radius[:, :, None] * torch.randn(size, STARS, 2)
    mass = (0.1 + torch.rand(size, STARS, 1)).pow(-0.5)
    return torch.cat([position, mass], dim=2), radius.squeeze(1)


class SetNet(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.star = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.mix = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, stars):
        total = self.star(stars).float().square().mean(dim=1)
        return self.head(self.norm(self.mix(total))).squeeze(-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    model = SetNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss_fn = nn.MSELoss()

    for step in range(1, 201):
        stars, radius = clusters(16)
        with torch.autocast("cpu", torch.float16):
            predicted = model(stars)
        loss = loss_fn(predicted.float(), radius)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            error = (predicted.float() - radius).abs().mean().item()
            print(f"step {step}  loss {loss.item():.5f}  error {error:.5f}")


if __name__ == "__main__":
    main()
