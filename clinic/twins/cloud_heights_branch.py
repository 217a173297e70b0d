"""Clouds on satellite pictures: a CNN with two heads; after a while the second head and its branch join in.

condition: healthy
metric: height_error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

SIDE = 12


class CloudNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.cover = nn.Sequential(nn.Flatten(), nn.Linear(12 * 36, 1))
        self.branches = nn.ModuleDict()

    def add_branch(self, name):
        self.branches[name] = nn.Sequential(
            nn.Conv2d(12, 16, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * 36, 32),
            nn.ReLU(),
            nn.Linear(32, 1),
        )

    def forward(self, picture):
        features = self.stem(picture)
        answers = {"cover": self.cover(features).squeeze(1)}
        for name, branch in self.branches.items():
            answers[name] = branch(features).squeeze(1)
        return answers


def clouds(count):
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    centre = 2 + 8 * torch.rand(count, 2, 1, 1)
    size = 1 + 2 * torch.rand(count, 1, 1)
    height = 1 + 3 * torch.rand(count, 1, 1)
    body = torch.exp(-((x - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2) / (2 * size**2))
    shadow = torch.exp(-((x - centre[:, 0] - height) ** 2 + (y - centre[:, 1]) ** 2) / (2 * size**2))
    picture = body - 0.7 * shadow + 0.05 * torch.randn(count, SIDE, SIDE)
    return picture.unsqueeze(1), {"cover": (size.flatten() - 2) * 1.7, "height": (height.flatten() - 2.5) * 1.15}


class Curriculum:
    def __init__(self, model, lr=2e-3, second_at=180):
        self.model, self.lr, self.second_at = model, lr, second_at
        self.optimizer = self.make_optimizer()

    def make_optimizer(self):
        return torch.optim.Adam(self.model.parameters(), lr=self.lr)

    def before(self, step):
        if step == self.second_at:
            self.model.add_branch("height")
            self.optimizer = self.make_optimizer()

    def step(self, step, picture, truth):
        self.before(step)
        answers = self.model(picture)
        loss = sum(F.mse_loss(answer, truth[name]) for name, answer in answers.items())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def main(seed):
    torch.manual_seed(seed)
    val_picture, val_truth = clouds(256)
    model = CloudNet()
    curriculum = Curriculum(model)
    for step in range(1, 421):
        loss = curriculum.step(step, *clouds(32))
        if step % 20 == 0:
            with torch.no_grad():
                guess = model(val_picture).get("height", torch.zeros(256))
            error = F.l1_loss(guess, val_truth["height"]).item()
            print(f"step {step}  loss {loss:.4f}  height_error {error:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
