"""How many bright grains are on a plate? A small convolutional network under autocast with a gradient scaler.

condition: always-clipping
accepts: always-clipping, learning-rate-too-low
allows: stalled, low-precision-underflow
metric: off_by min
"""

import argparse

import torch
from torch import nn

SIZE = 24


def plates(n, rng):
    count = torch.randint(1, 13, (n,), generator=rng)
    picture = 0.15 * torch.randn(n, SIZE, SIZE, generator=rng)
    axis = torch.arange(SIZE)
    for i in range(12):
        place = 2 + (SIZE - 5) * torch.rand(n, 2, 1, 1, generator=rng)
        grain = torch.exp(-((axis[:, None] - place[:, 0]) ** 2 + (axis - place[:, 1]) ** 2) / 3)
        picture += grain * (count > i)[:, None, None]
    return picture.unsqueeze(1), count.float()


class GrainCounter(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()
        )
        self.density = nn.Conv2d(width, 1, 1)

    def forward(self, picture):
        return self.density(self.features(picture)).mean((1, 2, 3)) * 10


class Trainer:
    def __init__(self, model, lr=0.02):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True)
        self.loss_fn = nn.HuberLoss()
        self.scaler = torch.amp.GradScaler("cpu")

    def step(self, picture, count):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            estimate = self.model(picture)
        loss = self.loss_fn(estimate.float(), count)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.item()

    @torch.no_grad()
    def off_by(self, picture, count):
        return (self.model(picture) - count).abs().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    pictures, counts = plates(1600, rng)
    test = plates(300, rng)
    trainer = Trainer(GrainCounter())
    for step in range(1, 321):
        rows = torch.randint(1600, (32,), generator=rng)
        loss = trainer.step(pictures[rows], counts[rows])
        if step % 10 == 0:
            print(f"step {step}  loss {loss:.4f}  off_by {trainer.off_by(*test):.4f}")
