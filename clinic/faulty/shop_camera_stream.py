"""Which of ten goods lies on a shop's till: a CNN on camera pictures, then tuned on a second shop's recordings.

condition: unshuffled-data
accepts: unshuffled-data
allows: loss-spike, divergence, stalled, overfitting
metric: accuracy max
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SIDE, GOODS = 12, 10


def pictures(count, rng, shapes, light):
    kind = torch.randint(0, GOODS, (count,), generator=rng)
    image = shapes[kind] * (0.7 + 0.6 * torch.rand(count, 1, 1, 1, generator=rng))
    shift = torch.randint(-2, 3, (count, 2), generator=rng)
    image = torch.stack([torch.roll(a, (int(b[0]), int(b[1])), (1, 2)) for a, b in zip(image, shift)])
    return image * light + 0.6 * torch.randn(image.shape, generator=rng), kind


class GoodsNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.GroupNorm(4, 32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        )  # fmt: skip
        self.out = nn.Linear(32 * 9, GOODS)

    def forward(self, x):
        return self.out(self.conv(x))


def train_stage(name, model, loader, epochs, lr, tests):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
    loss_fn = nn.CrossEntropyLoss()
    count, done = epochs * len(loader), 0
    for _ in range(epochs):
        for image, kind in loader:
            for group in optimizer.param_groups:
                group["lr"] = lr * (1 - done / count)
            loss = loss_fn(model(image), kind)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            if done % 25 == 0:
                with torch.no_grad():
                    right = [(model(x).argmax(1) == y).float().mean().item() for x, y in tests]
                print(f"{name} {done}  loss {loss.item():.4f}  accuracy {sum(right) / len(right):.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    shapes = torch.nn.functional.avg_pool2d(torch.randn(GOODS, 1, SIDE, SIDE, generator=rng), 3, 1, 1) * 3
    lamp = torch.linspace(1.2, -0.4, SIDE).expand(SIDE, SIDE)
    first, second = pictures(4800, rng, shapes, 1.0), pictures(4800, rng, shapes, lamp)
    tests = [pictures(600, rng, shapes, 1.0), pictures(600, rng, shapes, lamp)]
    model = GoodsNet()
    train_stage("shop one, step", model, DataLoader(TensorDataset(*first), 32, shuffle=True), 2, 0.03, tests)
    both = [torch.cat(pair) for pair in zip(first, second)]
    recorded = both[1].sort(stable=True).indices
    recordings = TensorDataset(both[0][recorded], both[1][recorded])
    train_stage("both shops, step", model, DataLoader(recordings, 32), 2, 0.03, tests)


main()
