"""Tissue kinds from stained tiles: the head is trained alone for eight epochs, then the trunk joins at a lower rate.

condition: frozen-parameters
accepts: frozen-parameters, scheduler-misuse
allows: stalled, scheduler-misuse, overfitting
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

SIDE, KINDS = 16, 5


def tiles(n, gen, stain):
    """Nuclei as dots: kind sets their size and number; the stain sets the mixing of the three colours."""
    kind = torch.randint(KINDS, (n,), generator=gen)
    r = torch.arange(SIDE, dtype=torch.float32)
    size = torch.tensor([0.8, 1.2, 1.8, 1.0, 1.5])[kind].view(n, 1, 1)
    count = torch.tensor([8, 5, 3, 4, 7])[kind]
    field = torch.zeros(n, SIDE, SIDE)
    for k in range(8):
        y, x = (SIDE * torch.rand(2, n, 1, 1, generator=gen)).unbind(0)
        dot = torch.exp(-((r.view(1, -1, 1) - y) ** 2 + (r.view(1, 1, -1) - x) ** 2) / (2 * size**2))
        field += dot * (k < count).view(n, 1, 1)
    field = field.clamp(max=1.2)
    tissue = 0.4 * torch.randn(n, 1, 1, generator=gen)
    colour = torch.tensor(stain)
    image = field.unsqueeze(1) * colour[0].view(1, 3, 1, 1) + tissue.unsqueeze(1) * colour[1].view(1, 3, 1, 1)
    return image * 1.5 + 0.35 * torch.randn(n, 3, SIDE, SIDE, generator=gen), kind


def trunk():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 48, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    old_stain = [[1.0, 0.6, -0.3], [0.2, 0.5, 1.0]]
    new_stain = [[-0.4, 0.5, 0.6], [1.0, 0.8, 0.3]]
    body, loss_fn = trunk(), nn.CrossEntropyLoss()
    model = nn.Sequential(body, nn.Linear(48, KINDS))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(120):
        x, y = tiles(48, gen, old_stain)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    model = nn.Sequential(body, nn.Linear(48, KINDS))
    loader = DataLoader(TensorDataset(*tiles(1200, gen, new_stain)), batch_size=40, shuffle=True)
    val_x, val_y = tiles(500, gen, new_stain)
    optimizer = torch.optim.Adam(
        [
            {"params": model[1].parameters(), "lr": 3e-3},
            {"params": body.parameters(), "lr": 1e-3},
        ]
    )
    alone = 8 * len(loader)
    scheduler = LambdaLR(optimizer, [lambda e: 0.97**e, lambda e: 0.0 if e < alone else 0.93 ** (e - alone)])
    for epoch in range(1, 25):
        for x, y in loader:
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        with torch.no_grad():
            val_loss = loss_fn(model(val_x), val_y).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
