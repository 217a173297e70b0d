"""A spiking network hears keywords: leaky neurons, a soft step for the gradient, sharper from epoch to epoch.

condition: surrogate-mismatch
accepts: surrogate-mismatch, vanishing-gradient
allows: stalled, vanishing-gradient, exploding-gradient, dead-units, loss-spike, divergence, bptt-explosion
metric: accuracy max
"""

import argparse

import torch
from torch import nn

CHANNELS, TICKS, WORDS = 20, 24, 8


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, potential, sharpness):
        ctx.save_for_backward(potential)
        ctx.sharpness = sharpness
        return (potential > 0).float()

    @staticmethod
    def backward(ctx, grad):
        (potential,) = ctx.saved_tensors
        return grad / (1 + ctx.sharpness * potential.abs()) ** 2, None


class SpikingNet(nn.Module):
    def __init__(self, neurons=64):
        super().__init__()
        self.first, self.second = nn.Linear(CHANNELS, neurons), nn.Linear(neurons, neurons)
        self.readout = nn.Linear(neurons, WORDS)
        self.sharpness = 2.0

    def forward(self, sound):
        u1 = u2 = s1 = s2 = torch.zeros(len(sound), self.second.in_features)
        evidence = 0
        for t in range(TICKS):
            u1 = 0.8 * u1 * (1 - s1) + self.first(sound[:, t])
            s1 = Spike.apply(u1 - 1, self.sharpness)
            u2 = 0.8 * u2 * (1 - s2) + self.second(s1)
            s2 = Spike.apply(u2 - 1, self.sharpness)
            evidence = evidence + self.readout(s2)
        return evidence / TICKS


def keywords(count, rng, melodies):
    word = torch.randint(0, WORDS, (count,), generator=rng)
    track = melodies[word] + torch.randint(-1, 2, (count, 1), generator=rng)
    bands = torch.arange(CHANNELS)
    sound = 2.5 * torch.exp(-0.5 * (bands - track.unsqueeze(2)) ** 2)
    return sound + 0.7 * torch.randn(sound.shape, generator=rng), word


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    t = torch.linspace(0, 6.283, TICKS)
    melodies = torch.stack(
        [10 + 4 * torch.sin((1 + k % 3) * t + 0.8 * k) + 3 * torch.cos((1 + k // 3) * t) for k in range(WORDS)]
    )
    test, truth = keywords(500, rng, melodies)
    model, loss_fn = SpikingNet(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 24, 1e-4)
    for epoch in range(1, 25):
        model.sharpness = 2.0 * 1.5 ** (epoch - 1)
        for _ in range(20):
            sound, word = keywords(64, rng, melodies)
            loss = loss_fn(model(sound), word)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        with torch.no_grad():
            accuracy = (model(test).argmax(1) == truth).float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
