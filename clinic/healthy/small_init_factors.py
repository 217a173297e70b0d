"""A matrix of tastes is completed by a product of three tiny factors: singular values are learned one by one.

condition: healthy
metric: unseen min
"""

import argparse

import torch
from torch import nn


class DeepFactors(nn.Module):
    """W3 W2 W1, started near nothing, so that the loss rests on a ledge before each new direction."""

    def __init__(self, rows, columns, size=0.03):
        super().__init__()
        shapes = [(columns, columns), (columns, columns), (rows, columns)]
        self.factors = nn.ParameterList([nn.Parameter(size * torch.randn(shape)) for shape in shapes])

    def forward(self):
        first, second, third = self.factors
        return third @ second @ first


def tastes(generator, people=40, dishes=30):
    u, _ = torch.linalg.qr(torch.randn(people, 4, generator=generator))
    v, _ = torch.linalg.qr(torch.randn(dishes, 4, generator=generator))
    ratings = u * torch.tensor([30.0, 20.0, 13.0, 8.0]) @ v.T
    known = torch.rand(people, dishes, generator=generator) < 0.6
    return ratings + 0.02 * torch.randn(people, dishes, generator=generator), known


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    ratings, known = tastes(torch.Generator().manual_seed(seed))
    model = DeepFactors(*ratings.shape)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for step in range(1, 1001):
        error = model() - ratings
        loss = 0.5 * (error[known] ** 2).sum() / 30
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            unseen = error.detach()[~known].square().mean().sqrt().item()
            print(f"step {step}  loss {loss.item():.4f}  unseen {unseen:.4f}")


if __name__ == "__main__":
    main()
