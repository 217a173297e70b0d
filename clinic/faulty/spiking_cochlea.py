"""Vowels from band-pass spikes of a model cochlea: two layers of leaky integrate-and-fire neurons.

condition: surrogate-mismatch
accepts: surrogate-mismatch, vanishing-gradient
allows: vanishing-gradient, stalled, dead-units
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

BANDS, STEPS, VOWELS = 24, 20, 6


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v, slope):
        ctx.save_for_backward(v)
        ctx.slope = slope
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx, grad):
        (v,) = ctx.saved_tensors
        return grad / (1 + ctx.slope * v.abs()) ** 2, None


class LIF(nn.Module):
    def __init__(self, n_in, n_out, beta=0.85):
        super().__init__()
        self.synapse = nn.Linear(n_in, n_out)
        nn.init.normal_(self.synapse.weight, 0, 2.0 / n_in**0.5)
        self.beta = beta

    def forward(self, spikes, slope):
        v = spikes.new_zeros(spikes.shape[0], self.synapse.out_features)
        out = []
        for t in range(spikes.shape[1]):
            v = self.beta * v + self.synapse(spikes[:, t])
            s = Spike.apply(v - 1, slope)
            v = v - s.detach()
            out.append(s)
        return torch.stack(out, 1)


class Net(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.l1, self.l2 = LIF(BANDS, hidden), LIF(hidden, hidden)
        self.readout = nn.Linear(hidden, VOWELS)
        self.slope = 2.0

    def forward(self, x):
        s = self.l2(self.l1(x, self.slope), self.slope)
        return self.readout(s.mean(1))


def utterances(n, gen):
    """Two formants that move along a straight line; each vowel has its own start and end."""
    table = torch.tensor([[3, 9, 6, 14], [6, 14, 3, 9], [9, 18, 9, 12], [9, 12, 9, 18], [3, 14, 6, 9], [6, 9, 3, 14.0]])
    vowel = torch.randint(VOWELS, (n,), generator=gen)
    a, b, c, d = (table[vowel] + torch.randn(n, 1, generator=gen)).unsqueeze(2).unbind(1)
    t = torch.linspace(0, 1, STEPS)
    bands = torch.arange(BANDS).view(1, 1, -1)
    rate = sum(torch.exp(-(((bands - (p + (q - p) * t).unsqueeze(2)) / 1.5) ** 2)) for p, q in ((a, c), (b, d)))
    return torch.bernoulli((0.05 + 0.6 * rate).clamp(max=0.9), generator=gen), vowel


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    val_x, val_y = utterances(500, gen)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(1, 401):
        model.slope *= 1.04
        if step == 280:
            optimizer.param_groups[0]["lr"] = 5e-4
        x, y = utterances(48, gen)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = F.cross_entropy(model(val_x), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
