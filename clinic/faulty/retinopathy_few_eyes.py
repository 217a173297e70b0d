"""Signs of retinopathy in small fundus patches: bleeding dots between the vessels, by a convolutional network.

condition: overfitting
accepts: overfitting
allows: naive-loss-minimisation, divergence, softmax-collapse
metric: val_loss min
"""

import argparse

import torch
from torch import nn

SIDE = 20


def patches(n, gen):
    sick = torch.rand(n, generator=gen) < 0.5
    r = torch.arange(SIDE, dtype=torch.float32)
    yy, xx = r.view(1, SIDE, 1), r.view(1, 1, SIDE)
    a = torch.randn(n, 1, 1, generator=gen)
    b = SIDE * torch.rand(n, 1, 1, generator=gen)
    vessel = torch.exp(-(((yy - b - a * (xx - SIDE / 2)) / 1.5) ** 2))
    image = -vessel + 0.7 * torch.randn(n, SIDE, SIDE, generator=gen)
    for k in range(4):
        y0, x0 = (2 + (SIDE - 4) * torch.rand(2, n, 1, 1, generator=gen)).unbind(0)
        dot = torch.exp(-((yy - y0) ** 2 + (xx - x0) ** 2) / 2.5)
        shown = sick | (k == 0)
        image = image - 1.6 * dot * shown.view(-1, 1, 1)
    return image.unsqueeze(1), sick.float()


def network():
    return nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(48 * 25, 96),
        nn.ReLU(),
        nn.Linear(96, 1),
        nn.Flatten(0),
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    images, labels = patches(90, gen)
    val_images, val_labels = patches(400, gen)
    model = network()
    loss_fn = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    recent = []
    for step in range(1, 421):
        pick = torch.randint(len(images), (30,))
        loss = loss_fn(model(images[pick]), labels[pick])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        recent.append(loss.item())
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_images), val_labels).item()
            print(f"step {step}  train_loss {sum(recent) / len(recent):.4f}  val_loss {val_loss:.4f}")
            recent.clear()


main()
