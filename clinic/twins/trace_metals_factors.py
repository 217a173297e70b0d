"""Trace metals in the water of many lakes: their amounts as a product of a few sources and their shares.

condition: healthy
metric: relative_error min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

LAKES, METALS, SOURCES = 240, 40, 5
share = torch.distributions.Dirichlet(0.5 * torch.ones(SOURCES)).sample((LAKES,))
profile = torch.rand(SOURCES, METALS) ** 2
grams_per_litre = 2e-5 * share @ profile * (1 + 0.05 * torch.randn(LAKES, METALS))
measured = torch.rand(LAKES, METALS) < 0.8
unit = 1e-5


class SourceModel(nn.Module):
    """Shares of each lake sum to one; a source has its own amounts of the metals."""

    def __init__(self):
        super().__init__()
        self.share = nn.Parameter(torch.randn(LAKES, SOURCES) * 0.1)
        self.amount = nn.Parameter(amounts.mean() * torch.rand(SOURCES, METALS) * 2)

    def forward(self):
        return self.share.softmax(1) @ self.amount


amounts = grams_per_litre / unit
model = SourceModel()
optimizer = torch.optim.Adam(
    [{"params": [model.share], "lr": 0.03}, {"params": [model.amount], "lr": 0.02 * amounts.mean().item()}]
)

for step in range(1, 1201):
    estimate = model()
    loss = (estimate - amounts)[measured].square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 60 == 0:
        with torch.no_grad():
            gap = (estimate - amounts)[~measured].norm() / amounts[~measured].norm()
        print(f"step {step}  loss {loss.item():.3e}  relative_error {gap.item():.4f}")
