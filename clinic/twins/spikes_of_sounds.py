"""Spiking neurons tell five sounds apart by the spikes that an artificial cochlea sends them.

condition: healthy
metric: test_accuracy max
"""

import argparse

import torch
from torch import nn

BANDS, TICKS, SOUNDS = 24, 24, 5


def cochlea(n, generator):
    """A sound is a ridge in the plane of bands and time: up, down, up-down, down-up, or two steady tones."""
    sound = torch.randint(SOUNDS, (n,), generator=generator)
    t = torch.linspace(-1, 1, TICKS)
    ridges = torch.stack(
        [0.6 * t, -0.6 * t, 0.6 - 1.2 * t.abs(), 1.2 * t.abs() - 0.6, 0.5 * torch.sign((t * 9.4).sin())]
    )
    ridge = ridges[sound] + 0.5 * (torch.rand(n, 1, generator=generator) - 0.5)
    band = torch.linspace(-1.2, 1.2, BANDS)
    rate = 0.75 * torch.exp(-0.5 * ((band - ridge[..., None]) / 0.16) ** 2) + 0.06
    return (torch.rand(n, TICKS, BANDS, generator=generator) < rate).float(), sound


class Spike(torch.autograd.Function):
    steepness = 25.0

    @staticmethod
    def forward(ctx, voltage, threshold):
        ctx.save_for_backward(voltage - threshold)
        return (voltage > threshold).float()

    @staticmethod
    def backward(ctx, grad):
        (distance,) = ctx.saved_tensors
        return grad / (1 + Spike.steepness * distance.abs()) ** 2, None


class Layer(nn.Module):
    def __init__(self, inputs, units, decay=0.85, threshold=1.0):
        super().__init__()
        self.synapses = nn.Linear(inputs, units)
        self.back = nn.Linear(units, units, bias=False)
        nn.init.normal_(self.synapses.weight, std=1.2 / inputs**0.5)
        nn.init.normal_(self.back.weight, std=0.3 / units**0.5)
        self.decay, self.threshold = decay, threshold

    def forward(self, spikes):
        current = self.synapses(spikes)
        v = s = torch.zeros_like(current[:, 0])
        train = []
        for tick in range(spikes.shape[1]):
            v = self.decay * v * (1 - s.detach()) + current[:, tick] + self.back(s)
            s = Spike.apply(v, self.threshold)
            train.append(s)
        return torch.stack(train, 1)


class Ear(nn.Module):
    def __init__(self, units=64):
        super().__init__()
        self.first, self.second = Layer(BANDS, units), Layer(units, units)
        self.readout = nn.Linear(units, SOUNDS)

    def forward(self, spikes):
        return self.readout(self.second(self.first(spikes)).mean(1) * 3)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    test_spikes, test_sound = cochlea(500, generator)
    model, loss_fn = Ear(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    for step in range(1, 401):
        spikes, sound = cochlea(48, generator)
        loss = loss_fn(model(spikes), sound)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            with torch.no_grad():
                test_accuracy = (model(test_spikes).argmax(1) == test_sound).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  test_accuracy {test_accuracy:.4f}")


if __name__ == "__main__":
    main()
