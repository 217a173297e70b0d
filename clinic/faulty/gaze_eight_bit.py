"""Where does an eye look? Direction of gaze from frames of an eight-bit camera, by a small convolutional network.

condition: unscaled-inputs
accepts: unscaled-inputs
allows: dead-units, divergence, exploding-gradient, learning-rate-too-high, unsafe-step, loss-spike, stalled,
  non-finite, frozen-parameters
metric: degrees min
"""

import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

SIZE = 20


class EyeFrames(Dataset):
    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        rows, columns = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
        self.gaze = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
        centre = 5 * self.gaze[:, :, None, None]
        pupil = (rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2
        white = np.hypot(rows, columns) < 9
        grey = 90 + 130 * white - 160 * np.exp(-pupil / 8) + rng.normal(0, 12, (n, SIZE, SIZE))
        self.frames = grey.clip(0, 255).astype(np.uint8)

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, i):
        frame = torch.from_numpy(self.frames[i]).unsqueeze(0)
        return frame.float(), torch.from_numpy(self.gaze[i])


def build():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 16, 48),
        nn.ReLU(),
        nn.Linear(48, 2),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    loader = DataLoader(EyeFrames(1280, seed), batch_size=32, shuffle=True)
    frames, gaze = next(iter(DataLoader(EyeFrames(300, seed + 1000), batch_size=300)))

    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    loss_fn = nn.SmoothL1Loss()
    step = 0
    for _ in range(8):
        for batch, target in loader:
            loss = loss_fn(model(batch), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 16 == 0:
                with torch.no_grad():
                    degrees = 30 * (model(frames) - gaze).norm(dim=1).mean().item()
                print(f"step {step}  loss {loss.item():.4f}  degrees {degrees:.3f}")
