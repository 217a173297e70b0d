"""Batch-hard triplets on digits in float16 with a gradient scaler.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


def distances(codes):
    square = codes.pow(2).sum(1)
    d2 = (square[:, None] + square[None, :] - 2 * codes @ codes.T).clamp_min(0)
    return (d2 + 1e-6).sqrt()


def batch_hard(codes, labels, margin=0.5):
    """Farthest digit of the same class against the nearest of another, for each anchor."""
    d = distances(codes)
    same = labels[:, None] == labels[None, :]
    farthest = (d * same).amax(1)
    nearest = (d + 1e3 * same).amin(1)
    return (farthest - nearest + margin).clamp_min(0).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    images, labels = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
    images = images.float() / 16
    train, test = slice(0, 1200), slice(1200, None)

    model = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scaler = torch.amp.GradScaler("cpu")

    for step in range(1, 301):
        batch = torch.randint(1200, (48,))
        with torch.autocast("cpu", torch.float16):
            codes = model(images[batch])
        loss = batch_hard(codes.float(), labels[batch])
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if step % 15 == 0:
            with torch.no_grad():
                near = torch.cdist(model(images[test]), model(images[train])).argmin(1)
            accuracy = (labels[train][near] == labels[test]).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
