"""A network with one-bit weights for a pocket device that tells edible mushrooms by their features.

Latent weights are kept in full precision; the forward pass takes their sign.

condition: surrogate-mismatch
accepts: surrogate-mismatch
allows: stalled, vanishing-gradient, frozen-parameters, learning-rate-too-high, saturated-units, edge-of-stability,
  loss-spike, divergence, detached-parameters
metric: accuracy max
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

FEATURES, KINDS = 40, 6
prototypes = torch.randint(0, 2, (3 * KINDS, FEATURES)) * 2.0 - 1


def basket(n):
    """Each kind has three forms; a feature is misread one time in five."""
    form = torch.randint(3 * KINDS, (n,))
    flipped = torch.rand(n, FEATURES) < 0.2
    return torch.where(flipped, -prototypes[form], prototypes[form]), form % KINDS


class Sign(torch.autograd.Function):
    """sign(x) forward; backward, the gradient passes where |x| <= 1."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (x.abs() <= 1)


class BinaryLinear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-1, 1))

    def forward(self, x):
        return x @ Sign.apply(self.weight).T


class MushroomNet(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.first = BinaryLinear(FEATURES, width)
        self.second = BinaryLinear(width, width)
        self.third = BinaryLinear(width, width)
        self.last = BinaryLinear(width, KINDS)
        self.scale = nn.Parameter(torch.tensor(0.1))
        self.gain = 3.0

    def forward(self, x):
        h = Sign.apply(self.gain * self.first(x))
        h = Sign.apply(self.gain * self.second(h))
        h = Sign.apply(self.gain * self.third(h))
        return self.scale * self.last(h)


model = MushroomNet()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
loss_fn = nn.CrossEntropyLoss()
test_x, test_kind = basket(600)

for step in range(700):
    x, kind = basket(64)
    loss = loss_fn(model(x), kind)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for layer in (model.first, model.second, model.third, model.last):
            layer.weight.clamp_(-1, 1)
    if step % 20 == 0:
        with torch.no_grad():
            accuracy = (model(test_x).argmax(1) == test_kind).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.3f}")
