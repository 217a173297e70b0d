"""Which of nine birds sing in this second of sound? Several may; a two-dimensional net reads a small spectrogram.

condition: double-softmax
accepts: double-softmax
allows: saturated-units, stalled
metric: f1 max
"""

import argparse

import torch
from torch import nn

BIRDS, BANDS, FRAMES = 9, 20, 24


def songs():
    """Start, slope, wobble, its speed and the number of syllables of each bird."""
    low = torch.tensor([3.0, -0.4, 0.0, 0.3, 1.0])
    high = torch.tensor([16.0, 0.4, 2.5, 1.5, 4.0])
    return low + (high - low) * torch.rand(BIRDS, 5)


def chorus(birds, count):
    singing = (torch.rand(count, BIRDS) < 0.14).float()
    frame = torch.arange(FRAMES).float()
    band = torch.arange(BANDS).float().view(1, BANDS, 1)
    sound = torch.zeros(count, BANDS, FRAMES)
    for b in range(BIRDS):
        start, slope, wobble, speed, syllables = birds[b]
        shift = torch.rand(count, 1) * FRAMES
        t = (frame + shift) % FRAMES
        pitch = start + slope * (t - FRAMES / 2) + wobble * torch.sin(speed * t)
        on = torch.sin(2 * torch.pi * syllables.round() * t / FRAMES) > -0.2
        loud = (0.5 + torch.rand(count, 1)) * singing[:, b : b + 1] * on
        sound += loud.unsqueeze(1) * torch.exp(-((band - pitch.unsqueeze(1)) ** 2) / 1.5)
    return (torch.log1p(3 * sound + 0.4 * torch.rand_like(sound)) - 0.3).unsqueeze(1) / 0.4, singing


class Listener(nn.Module):
    def __init__(self, c=16):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, c, 3, padding=1),
            nn.BatchNorm2d(c),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(c, 2 * c, 3, padding=1),
            nn.BatchNorm2d(2 * c),
            nn.ReLU(),
        )
        self.classify = nn.Linear(2 * c * BANDS // 2, BIRDS)

    def forward(self, x):
        hidden = self.body(x).amax(3).flatten(1)
        return torch.sigmoid(self.classify(hidden))

    def present(self, x):
        return self(x) > 0.5


def f1(guess, truth):
    hits = (guess & truth.bool()).sum()
    return (2 * hits / (guess.sum() + truth.sum()).clamp(min=1)).item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    birds = songs()
    train, exam = chorus(birds, 1000), chorus(birds, 300)
    model = Listener()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loss_fn = nn.BCEWithLogitsLoss()
    for epoch in range(1, 17):
        model.train()
        for rows in torch.randperm(1000).split(50):
            loss = loss_fn(model(train[0][rows]), train[1][rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            score = f1(model.present(exam[0]), exam[1])
        print(f"epoch {epoch}  loss {loss.item():.4f}  f1 {score:.4f}")


main()
