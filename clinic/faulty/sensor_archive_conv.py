"""Walking, stairs, running or cycling? Windows of three axes from an archive, by a small one-dimensional CNN.

condition: stalled
accepts: stalled
allows: overfitting
metric: accuracy max
"""

import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

AXES, TIMES, KINDS = 3, 40, 4


def archive(count, seed):
    """Acceleration as the archive keeps it: axis first, then time, then window."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(KINDS, size=count)
    pace = np.array([1.0, 1.5, 2.4, 3.2])[kind] * rng.uniform(0.9, 1.1, count)
    t = np.linspace(0, 2, TIMES)[:, None]
    phase = rng.uniform(0, 2 * np.pi, count)
    up = np.sin(2 * np.pi * pace * t + phase)
    along = 0.6 * np.sin(4 * np.pi * pace * t + phase + 0.5)
    side = 0.5 * np.sin(np.pi * pace * t + phase)
    data = np.stack([up, along, side]) + rng.normal(0, 0.9, (AXES, TIMES, count))
    return data.astype(np.float32), kind


def windows(count, seed):
    data, kind = archive(count, seed)
    return torch.from_numpy(data).reshape(count, AXES, TIMES), torch.from_numpy(kind)


class MotionNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(AXES, 12, 7, padding=3)
        self.conv2 = nn.Conv1d(12, 16, 5, stride=2, padding=2)
        self.head = nn.Linear(16, KINDS)

    def forward(self, x):
        x = torch.relu(self.conv1(x))
        x = torch.relu(self.conv2(x)).amax(2)
        return self.head(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    train = TensorDataset(*windows(12000, seed))
    x_test, y_test = windows(800, seed + 500)
    loader = DataLoader(train, batch_size=48, shuffle=True, generator=torch.Generator().manual_seed(seed))
    model = MotionNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    step = 0
    for _ in range(5):
        for x, y in loader:
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 50 == 0:
                with torch.no_grad():
                    accuracy = (model(x_test).argmax(1) == y_test).float().mean().item()
                print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
