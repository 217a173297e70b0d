"""Textures as oriented noise of three grains, six classes; a network without norms and adaptive gradient clipping.

condition: always-clipping
accepts: always-clipping, learning-rate-too-low
allows: stalled, learning-rate-too-low
metric: val_accuracy max
"""

import argparse

import torch
from torch import nn

SIZE = 16


def textures(n, generator):
    """White noise, smoothed along one of two diagonals and by one of three lengths."""
    label = torch.randint(6, (n,), generator=generator)
    noise = torch.fft.rfft2(torch.randn(n, SIZE, SIZE, generator=generator))
    fy, fx = torch.fft.fftfreq(SIZE)[:, None], torch.fft.rfftfreq(SIZE)[None]
    side = torch.where(label % 2 == 0, 1.0, -1.0)[:, None, None]
    grain = torch.tensor([5.0, 9.0, 15.0])[label // 2][:, None, None]
    along = fx + side * fy
    image = torch.fft.irfft2(noise * torch.exp(-((grain * along) ** 2)), s=(SIZE, SIZE))
    image = image / image.std((1, 2), keepdim=True)
    return (image + 0.7 * torch.randn(n, SIZE, SIZE, generator=generator)).unsqueeze(1), label


def unit_norm(x):
    """The norm of each output unit's weights (or gradient), with the shape to broadcast."""
    return x.norm() if x.ndim <= 1 else x.flatten(1).norm(dim=1).view(-1, *[1] * (x.ndim - 1))


@torch.no_grad()
def adaptive_clip(parameters, clip_factor, eps=1e-3):
    for p in parameters:
        if p.grad is None:
            continue
        limit = unit_norm(p).clamp_min(eps) * clip_factor
        norm = unit_norm(p.grad)
        p.grad.mul_(torch.where(norm > limit, limit / norm.clamp_min(1e-6), torch.ones_like(norm)))


def network(width=16):
    model = nn.Sequential(
        nn.Conv2d(1, width, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * width, 6),
    )
    for layer in model:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train_x, train_y = textures(2500, generator)
    val_x, val_y = textures(500, generator)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 301):
        rows = torch.randint(len(train_x), (48,), generator=generator)
        loss = loss_fn(model(train_x[rows]), train_y[rows])
        optimizer.zero_grad()
        loss.backward()
        adaptive_clip(model.parameters(), clip_factor=1e-3)
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                val_accuracy = (model(val_x).argmax(1) == val_y).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_accuracy {val_accuracy:.4f}")


if __name__ == "__main__":
    main()
