"""Bruised pears on a sorting belt: a network is taught on the old camera's frames, then on those of the new one.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def frames(n, g, new_camera=False):
    """12 x 12 frames of skin: speckled, and with a soft dark, or rough, patch where it was bruised."""
    kind = torch.randint(0, 3, (n,), generator=g)
    skin = 0.15 * torch.randn(n, 1, 12, 12, generator=g)
    rough = F.avg_pool2d(torch.randn(n, 1, 13, 13, generator=g), 2, 1) * 0.8
    rings = torch.sin(torch.arange(12.0) * 1.3).view(1, 1, 12, 1) * (0.25 + 0.2 * torch.rand(n, 1, 1, 1, generator=g))
    picture = (
        skin
        + torch.where(kind.view(-1, 1, 1, 1) == 1, rough, 0.0)
        + torch.where(kind.view(-1, 1, 1, 1) == 2, rings, 0.0)
    )
    if new_camera:
        picture = -0.5 * F.avg_pool2d(picture, 3, 1, 1).transpose(2, 3) + 0.12 * torch.randn(n, 1, 12, 12, generator=g)
        empty = torch.rand(n, generator=g) < 0.08
        picture[empty], kind[empty] = 0.0, 0
    return picture, kind


class TextureNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3)
        self.conv2 = nn.Conv2d(16, 24, 3)
        self.fc = nn.Linear(48, 3)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = self.conv2(x).flatten(2).float()
        mean = x.mean(-1)
        spread = ((x - mean.unsqueeze(-1)).pow(2).mean(-1) + 1e-5).sqrt()
        return self.fc(torch.cat([mean, spread], dim=1))


def train(model, data, test, optimizer, scaler, epochs, start):
    x, y = data
    for epoch in range(start, start + epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(model(x[rows]), y[rows])
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        with torch.no_grad():
            accuracy = (model(test[0]).argmax(1) == test[1]).float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    old, new = frames(1500, g), frames(1500, g, new_camera=True)
    test = [torch.cat(pair) for pair in zip(frames(200, g), frames(800, g, new_camera=True), strict=True)]
    model = TextureNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=100)
    train(model, old, test, optimizer, scaler, 8, 1)
    train(model, new, test, optimizer, scaler, 12, 9)


if __name__ == "__main__":
    main()
