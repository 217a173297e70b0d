"""Two networks pick each other's lessons: glyphs of which three in ten have a wrong label (co-teaching).

condition: healthy
metric: val_error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

CLASSES, SIDE = 8, 12


def strokes(seed):
    rng = torch.Generator().manual_seed(seed)
    return F.interpolate(
        torch.randn(CLASSES, 1, 4, 4, generator=rng), (SIDE, SIDE), mode="bilinear", align_corners=True
    )


def glyphs(count, shapes, rng):
    kind = torch.randint(CLASSES, (count,), generator=rng)
    move = 0.35 * (2 * torch.rand(count, 2, generator=rng) - 1)
    turn = 0.35 * torch.randn(count, generator=rng)
    matrix = torch.stack([
        torch.stack([turn.cos(), -turn.sin(), move[:, 0]], 1), torch.stack([turn.sin(), turn.cos(), move[:, 1]], 1),
    ], 1)  # fmt: skip
    picture = F.grid_sample(shapes[kind], F.affine_grid(matrix, (count, 1, SIDE, SIDE), align_corners=False),
                            padding_mode="reflection", align_corners=False)  # fmt: skip
    return picture + 0.5 * torch.randn(picture.shape, generator=rng), kind


def build():
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 9, CLASSES),
    )  # fmt: skip
    return net, torch.optim.Adam(net.parameters(), lr=1e-3)


def main(seed, wrong=0.3):
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    shapes = strokes(5)
    x, kind = glyphs(2400, shapes, rng)
    noisy = torch.where(torch.rand(len(x), generator=rng) < wrong, (kind + 1) % CLASSES, kind)
    x_val, y_val = glyphs(1500, shapes, rng)
    peers = [build(), build()]
    epochs = 15
    for epoch in range(1, epochs + 1):
        keep = 1 - (wrong + 0.02) * min(1.0, epoch / 5)
        for _, optimizer in peers:
            optimizer.param_groups[0]["lr"] = 1e-3 * min(1.0, 1.5 * (1 - (epoch - 1) / epochs))
        for net, _ in peers:
            net.train()
        for rows in torch.randperm(len(x)).split(100):
            losses = [F.cross_entropy(net(x[rows]), noisy[rows], reduction="none") for net, _ in peers]
            easy = [loss.detach().argsort()[: int(keep * len(rows))] for loss in losses]
            for (_, optimizer), loss, picked in zip(peers, losses, reversed(easy), strict=True):
                optimizer.zero_grad()
                loss[picked].mean().backward()
                optimizer.step()
        pure = (noisy[rows][easy[0]] == kind[rows][easy[0]]).float().mean().item()
        for net, _ in peers:
            net.eval()
        with torch.no_grad():
            errors = [(net(x_val).argmax(1) != y_val).float().mean().item() for net, _ in peers]
        print(f"epoch {epoch}  kept {keep:.2f}  pure {pure:.2f}  val_error {sum(errors) / 2:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
