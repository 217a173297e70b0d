"""Does kelp grow on a square of the sea floor? A small net on depth, swell, light and salt, joined from two tables.

condition: stalled
accepts: stalled
allows: overfitting, learning-rate-too-low
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Squares(Dataset):
    """Soundings of a survey and what divers saw, by the number of the square."""

    def __init__(self, count, generator):
        square = torch.randperm(count, generator=generator)
        depth, swell, salt = torch.randn(3, count, generator=generator)
        light = -depth + 0.3 * torch.randn(count, generator=generator)
        score = 2 * light - swell * depth + torch.sin(2 * salt) - 0.5
        kelp = (score + 0.3 * torch.randn(count, generator=generator) > 0).float()
        self.soundings = {
            int(s): row for s, row in zip(square, torch.stack([depth, swell, salt, light], 1), strict=True)
        }
        self.seen = dict(zip(square.tolist(), kelp, strict=True))
        self.squares = sorted(self.soundings)

    def __len__(self):
        return len(self.squares)

    def __getitem__(self, index):
        return list(self.soundings.values())[index], self.seen[self.squares[index]]


class KelpNet(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 40), nn.ELU(), nn.Linear(40, 40), nn.ELU(), nn.Linear(40, 1), nn.Flatten(0))


def table(dataset):
    x, y = zip(*(dataset[i] for i in range(len(dataset))), strict=True)
    return torch.stack(x), torch.stack(y)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    loader = DataLoader(Squares(600, generator), batch_size=40, shuffle=True, generator=generator)
    val_x, val_y = table(Squares(400, generator))
    model = KelpNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    loss_fn = nn.BCEWithLogitsLoss()
    for epoch in range(1, 21):
        seen = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            seen += loss.item()
        with torch.no_grad():
            val_loss = loss_fn(model(val_x), val_y).item()
        print(f"epoch {epoch}  loss {seen / len(loader):.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
