"""Sharp digits from blurred ones by a plain stack of ten convolutions, whole pictures in and out.

condition: healthy
metric: mse min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


def weights_init(m):
    if isinstance(m, nn.Conv2d):
        nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
        nn.init.zeros_(m.bias)


def build(channels=16, depth=10):
    layers = [nn.Conv2d(1, channels, 3, padding=1), nn.ReLU()]
    for _ in range(depth - 2):
        layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
    layers.append(nn.Conv2d(channels, 1, 3, padding=1))
    return nn.Sequential(*layers).apply(weights_init)


def blur(images):
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]).view(1, 1, 3, 3) / 16
    return F.conv2d(images, kernel, padding=1) + 0.02 * torch.randn_like(images)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    images = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 16
    images = images[torch.randperm(len(images))]
    train, test = images[:1500], images[1500:]
    blurred_test = blur(test)

    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-4, betas=(0.5, 0.999))
    loss_fn = nn.MSELoss()
    step = 0
    for epoch in range(9):
        for sharp in train[torch.randperm(len(train))].split(50):
            optimizer.zero_grad()
            loss = loss_fn(model(blur(sharp)), sharp)
            loss.backward()
            optimizer.step()
            step += 1
            if step % 10 == 0:
                with torch.no_grad():
                    mse = loss_fn(model(blurred_test), test).item()
                print(f"epoch {epoch}  step {step}  loss {loss.item():.5f}  mse {mse:.5f}")


if __name__ == "__main__":
    main()
