"""How far away does a stone fall into a pond? A network looks at the water's height at twenty times along a line.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Pond:
    """The wave equation on a line, one step of time after the other, with a soft shore."""

    def __init__(self, cells=32, courant=0.4, damping=0.02):
        self.height, self.speed = torch.zeros(cells), torch.zeros(cells)
        self.courant, self.damping = courant, damping

    def calm(self):
        self.height.zero_()
        self.speed.zero_()

    def drop(self, place, depth, width=1.5):
        cells = torch.arange(len(self.height))
        self.height -= depth * torch.exp(-(((cells - place) / width) ** 2))

    def advance(self):
        bend = torch.zeros_like(self.height)
        bend[1:-1] = self.height[2:] - 2 * self.height[1:-1] + self.height[:-2]
        self.speed.add_(self.courant * bend).mul_(1 - self.damping)
        self.height.add_(self.speed)


def record(pond, places, times=8):
    """Pictures of the pond at a few times after each stone, and where the stones fell."""
    films = []
    for place in places:
        pond.calm()
        pond.drop(place * 31, 1.0)
        frames = []
        for _ in range(times):
            pond.advance()
            frames.append(pond.height.clone())
        films.append(frames)
    return torch.stack([torch.stack(frames) for frames in films])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(640, generator=generator)
    films = record(Pond(), places)
    films = films + 0.05 * torch.randn(films.shape, generator=generator)
    targets = (places - 0.5) * 12**0.5
    train = TensorDataset(films[:480], targets[:480])
    loader = DataLoader(train, batch_size=32, shuffle=True, generator=generator)
    model = nn.Sequential(
        nn.Conv1d(8, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Flatten(),
        nn.Linear(256, 32),
        nn.ReLU(),
        nn.Linear(32, 1),
        nn.Flatten(0),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    loss_fn = nn.MSELoss()
    for epoch in range(1, 21):
        for film, target in loader:
            loss = loss_fn(model(film), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            val_loss = loss_fn(model(films[480:]), targets[480:]).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
