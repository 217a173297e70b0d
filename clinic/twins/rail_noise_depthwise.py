"""Wheel flats from the noise of a passing train: separable convolutions over a log spectrogram's bands.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

torch.set_num_threads(1)


class Separable(nn.Sequential):
    def __init__(self, width, kernel=5):
        super().__init__(
            nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width, bias=False),
            nn.Conv1d(width, width, 1),
            nn.ReLU(),
        )


def init(module):
    if isinstance(module, nn.Conv1d):
        fan_out = module.kernel_size[0] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=(2.0 / fan_out) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def network(bands=8, width=32, depth=6):
    body = [nn.Conv1d(bands, width, 5, padding=2), nn.ReLU()] + [Separable(width) for _ in range(depth)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(width, 4)).apply(init)


def passings(n, frames=48, bands=8):
    kind = torch.randint(4, (n,))
    period = torch.tensor([1e6, 12.0, 8.0, 5.0])[kind].view(-1, 1, 1) * (1 + 0.05 * torch.randn(n, 1, 1))
    t = torch.arange(frames).view(1, 1, -1) + 12 * torch.rand(n, 1, 1)
    tone = torch.softmax(torch.randn(n, bands, 1), 1) * bands
    beat = torch.relu(torch.cos(6.2832 * t / period)) ** 4
    return 0.9 * tone * beat * (kind > 0).view(-1, 1, 1) + torch.randn(n, bands, frames), kind


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--seed", type=int, default=0)
    torch.manual_seed(args.parse_args().seed)
    sound, kind = passings(4096)
    held, held_kind = passings(800)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(1, 17):
        for rows in torch.randperm(len(sound)).split(64):
            loss = loss_fn(model(sound[rows]), kind[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            wrong = (model(held).argmax(1) != held_kind).float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_error {wrong:.4f}")


main()
