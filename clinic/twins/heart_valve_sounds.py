"""Heart sounds: normal, murmur, click or gallop, told by a stack of one-dimensional convolutions.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn

SAMPLES, KINDS = 96, 4


def beats(n):
    kind = torch.randint(KINDS, (n,))
    t = torch.arange(SAMPLES, dtype=torch.float32)
    first = 14 + 4 * torch.rand(n, 1)
    second = first + 30 + 6 * torch.rand(n, 1)

    def thud(at, width=3.0, speed=1.2):
        return torch.exp(-(((t - at) / width) ** 2)) * torch.cos(speed * (t - at))

    wave = thud(first) + 0.8 * thud(second)
    murmur = torch.exp(-(((t - (first + second) / 2) / 9) ** 2)) * torch.sin(2.2 * t + 6.28 * torch.rand(n, 1))
    click, gallop = 0.9 * thud(first + 15, 1.2, 2.5), 0.7 * thud(second + 18)
    extra = torch.stack([torch.zeros_like(wave), 0.7 * murmur, click, gallop])
    wave = wave + extra[kind, torch.arange(n)] + 0.15 * torch.randn(n, SAMPLES)
    return 1.8 * wave.unsqueeze(1), kind


def init_weights(layer):
    if isinstance(layer, (nn.Conv1d, nn.Linear)):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)


def stack(width=16, depth=7):
    layers, channels = [], 1
    for k in range(depth):
        layers += [nn.Conv1d(channels, width, 5, stride=2 if k % 3 == 0 else 1, padding=2), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveMaxPool1d(3), nn.Flatten(), nn.Linear(3 * width, KINDS))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = stack().apply(init_weights)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    val_wave, val_kind = beats(500)
    for step in range(1, 301):
        wave, kind = beats(48)
        loss = loss_fn(model(wave), kind)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 15 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_wave), val_kind).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
