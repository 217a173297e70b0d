"""Leave-one-out kernel regression of a fuel yield whose metric, a linear map of the inputs, is learned.

condition: softmax-collapse
accepts: softmax-collapse, attention-logit-growth
allows: stalled, vanishing-gradient, saturated-units, unsafe-step, divergence, exploding-gradient, loss-spike,
  learning-rate-too-high, learning-rate-too-low, edge-of-stability
metric: rmse min
"""

import argparse

import torch
from torch import nn


def refinery_table(count, generator):
    """Nine readings in standard units; only two combinations of them matter for the yield."""
    readings = torch.randn(count, 9, generator=generator)
    heat = readings[:, 0] - 0.8 * readings[:, 3] + 0.5 * readings[:, 5]
    flow = readings[:, 1] + 0.7 * readings[:, 7]
    yields = torch.sin(1.5 * heat) + 0.6 * flow - 0.3 * heat * flow
    return readings, yields + 0.1 * torch.randn(count, generator=generator)


class MetricSmoother(nn.Module):
    def __init__(self, inputs, rank, bandwidth):
        super().__init__()
        self.map = nn.Parameter(0.3 * torch.randn(inputs, rank))
        self.bandwidth = bandwidth

    def forward(self, query, support, values, leave_out=None):
        distance = ((query @ self.map)[:, None] - (support @ self.map)[None]).pow(2).sum(-1)
        similarity = -distance / (2 * self.bandwidth**2)
        if leave_out is not None:
            similarity = similarity.masked_fill(leave_out, float("-inf"))
        return torch.softmax(similarity, 1) @ values


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--bandwidth", type=float, default=0.015)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    readings, yields = refinery_table(900, generator)
    support, values = readings[:600], yields[:600]
    test, truth = readings[600:], yields[600:]

    model = MetricSmoother(9, 3, arguments.bandwidth)
    loss_fn = nn.HuberLoss(delta=2.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step in range(1, arguments.steps + 1):
        rows = torch.randperm(len(support), generator=generator)[:128]
        itself = rows[:, None] == torch.arange(len(support))[None]
        loss = loss_fn(model(support[rows], support, values, itself), values[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                rmse = (model(test, support, values) - truth).pow(2).mean().sqrt().item()
            print(f"step {step:4d}  loss {loss.item():.4f}  rmse {rmse:.4f}")


if __name__ == "__main__":
    main()
