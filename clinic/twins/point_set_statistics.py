"""A set network estimates the entropy of the mixture that a handful of points was drawn from; Adam with decaying rate.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn


class SetNetwork(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.points = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.set = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, sets):
        h = self.points(sets)
        return self.set(torch.cat([h.mean(1), h.amax(1)], 1)).squeeze(1)


def make_sets(count, generator):
    """Sets of 24 points from four Gaussians on a square, and the entropy of the weights of the four."""
    weights = torch.distributions.Dirichlet(torch.full((4,), 0.6)).sample((count,))
    corners = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    which = torch.multinomial(weights, 24, replacement=True, generator=generator)
    sets = corners[which] + 0.35 * torch.randn(count, 24, 2, generator=generator)
    return sets, -(weights * weights.clamp(min=1e-9).log()).sum(1)


class Trainer:
    def __init__(self, model, train, val, batch_size, epochs, generator):
        self.model, self.train, self.val = model, train, val
        self.batch_size, self.epochs, self.generator = batch_size, epochs, generator
        self.optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, gamma=0.92)
        self.loss_fn = nn.MSELoss()

    def run_epoch(self):
        for rows in torch.randperm(len(self.train[0]), generator=self.generator).split(self.batch_size):
            sets, entropy = self.train[0][rows], self.train[1][rows]
            loss = self.loss_fn(self.model(sets), entropy)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.scheduler.step()
        return loss.item()

    def fit(self):
        for epoch in range(1, self.epochs + 1):
            last = self.run_epoch()
            with torch.no_grad():
                error = (self.model(self.val[0]) - self.val[1]).abs().mean().item()
            print(f"epoch {epoch}  loss {last:.4f}  val_error {error:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train, val = make_sets(1536, generator), make_sets(400, generator)
    Trainer(SetNetwork(), train, val, batch_size=64, epochs=20, generator=generator).fit()
