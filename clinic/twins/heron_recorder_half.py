"""Herons, bitterns and coots in recordings from a marsh, by a network in half precision with float32 masters.

condition: healthy
metric: error min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

FRAMES, WINDOW = 12, 160


def recordings(count, gain):
    kind = torch.randint(3, (count,))
    pitch = torch.tensor([0.03, 0.06, 0.12])[kind].view(-1, 1, 1) * (1 + 0.3 * torch.randn(count, 1, 1))
    pulse = torch.tensor([2.0, 4.0, 3.0])[kind].view(-1, 1, 1)
    frame, t = torch.arange(FRAMES).view(1, -1, 1), torch.arange(WINDOW)
    loud = 1 + 0.8 * torch.sin(2 * math.pi * frame * pulse / FRAMES + 6 * torch.rand(count, 1, 1))
    wave = loud * torch.sin(2 * math.pi * pitch * (t + WINDOW * frame)) + 0.7 * torch.randn(count, FRAMES, WINDOW)
    return gain * wave, kind


def front_end(wave):
    slope = wave[..., 1:] - wave[..., :-1]
    power = torch.stack([wave.square().sum(-1), slope.square().sum(-1)], 1)
    logs = torch.log(power + 1e-3).half()
    return logs - logs.mean((1, 2), keepdim=True)


class Ear(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Conv1d(2, 24, 3, padding=1)
        self.two = nn.Linear(24 * FRAMES, 48)
        self.out = nn.Linear(48, 3)

    def forward(self, logs):
        return self.out(F.relu(self.two(F.relu(self.one(logs)).flatten(1))))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
masters, model = Ear(), Ear().half()
optimizer = torch.optim.Adam(masters.parameters(), lr=1e-3)
held = [recordings(400, gain) for gain in (1.0, 25.0)]

for step in range(1, 501):
    gain = 1.0 if step <= 260 else float(2 ** torch.randint(0, 6, ()))
    wave, kind = recordings(48, gain)
    model.load_state_dict(masters.state_dict())
    loss = F.cross_entropy(model(front_end(wave)).float(), kind)
    model.zero_grad()
    (256 * loss).backward()
    for master, low in zip(masters.parameters(), model.parameters()):
        master.grad = low.grad.float() / 256
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            told = [model(front_end(wave)).argmax(1) != kind for wave, kind in held[: 1 + (step > 260)]]
        print(f"step {step}  loss {loss.item():.4f}  error {torch.cat(told).float().mean().item():.4f}")
