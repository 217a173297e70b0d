"""Two moons with ten labels: a student learns from them and from its own slow average, the teacher, on the rest.

condition: healthy
metric: accuracy max
"""

import argparse
from copy import deepcopy

import torch
import torch.nn.functional as F
from sklearn.datasets import make_moons
from torch import nn


class Student(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.LeakyReLU(), nn.Linear(width, width), nn.LeakyReLU(), nn.Linear(width, 2)
        )

    def forward(self, x):
        return self.net(x)


class MeanTeacher(nn.Module):
    """Both networks; the teacher is moved by averaging only."""

    def __init__(self, keep=0.98):
        super().__init__()
        self.student = Student()
        self.teacher = deepcopy(self.student)
        self.keep = keep

    def losses(self, labelled, targets, unlabelled):
        supervised = F.cross_entropy(self.student(labelled), targets)
        with torch.no_grad():
            goal = self.teacher(jitter(unlabelled)).softmax(1)
        consistency = (self.student(jitter(unlabelled)).softmax(1) - goal).pow(2).mean()
        return supervised, consistency

    @torch.no_grad()
    def average(self):
        for slow, fast in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            slow.mul_(self.keep).add_(fast, alpha=1 - self.keep)


def jitter(x):
    return x + 0.15 * torch.randn_like(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    points, classes = make_moons(1600, noise=0.08, random_state=seed)
    x, y = torch.tensor(points, dtype=torch.float32), torch.tensor(classes)
    few = torch.cat([torch.nonzero(y[:600] == c)[:5, 0] for c in (0, 1)])
    rest, exam = x[:1000], slice(1000, None)

    model = MeanTeacher()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(1, 401):
        rows = torch.randint(len(rest), (128,))
        supervised, consistency = model.losses(jitter(x[few]), y[few], rest[rows])
        loss = supervised + 8 * min(1.0, step / 200) * consistency
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.average()
        if step % 16 == 0:
            with torch.no_grad():
                accuracy = (model.teacher(x[exam]).argmax(1) == y[exam]).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
