"""Which drum was struck? Few strokes are labelled, many are not; two hearings of the same stroke shall get the same answer.

condition: healthy
metric: val_error min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

DRUMS, BANDS, FRAMES = 8, 12, 8


def strokes(count, kit, generator):
    drum = torch.randint(DRUMS, (count,), generator=generator)
    colour, decay = kit
    hit = 0.5 + torch.rand(count, 1, 1, generator=generator)
    t = torch.arange(FRAMES).float()
    sound = hit * torch.exp(colour[drum])[:, :, None] * torch.exp(-t * decay[drum][:, :, None])
    sound = torch.log(sound + 0.05) + 2.0 * torch.randn(count, BANDS, FRAMES, generator=generator)
    return (sound + 1.2) / 2.2, drum


def hear(x):
    """Another room, another microphone: a gain per band, some frames lost, some noise."""
    x = x + 0.3 * torch.randn(len(x), BANDS, 1)
    x = x * (torch.rand(len(x), 1, FRAMES) > 0.1)
    return x + 0.3 * torch.randn_like(x)


class DrumNet(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.conv1 = nn.Conv1d(BANDS, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, padding=1)
        self.fc = nn.Linear(width * FRAMES // 2, 64)
        self.head = nn.Linear(64, DRUMS)

    def forward(self, x):
        h = F.relu(self.conv1(x))
        h = F.max_pool1d(F.relu(self.conv2(h)), 2)
        return self.head(F.relu(self.fc(h.flatten(1))))


def ramp(step, length):
    """Sigmoid ramp-up of the weight of the unlabelled strokes."""
    return math.exp(-5 * (1 - min(step / length, 1.0)) ** 2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    kit = torch.randn(DRUMS, BANDS, generator=generator), 0.1 + 0.6 * torch.rand(DRUMS, BANDS, generator=generator)
    x, y = strokes(300, kit, generator)
    unlabelled, _ = strokes(3000, kit, generator)
    x_val, y_val = strokes(1500, kit, generator)
    model = DrumNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    steps = 900
    for step in range(1, steps + 1):
        rows = torch.randint(len(x), (32,), generator=generator)
        more = unlabelled[torch.randint(len(unlabelled), (96,), generator=generator)]
        one, two = model(hear(more)).softmax(1), model(hear(more)).softmax(1)
        agree = (one - two).pow(2).sum(1).mean()
        named = F.cross_entropy(model(hear(x[rows])), y[rows])
        loss = named + 3.0 * ramp(step, 600) * agree
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 700:
            optimizer.param_groups[0]["lr"] = 2e-4
        if step % 45 == 0:
            with torch.no_grad():
                error = (model(x_val).argmax(1) != y_val).float().mean().item()
            print(f"step {step}  named {named.item():.4f}  val_error {error:.4f}")


if __name__ == "__main__":
    main()
