"""A recurrent network names the interval of two tones; every stage of the course brings more noise.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

LENGTH, FRAME = 64, 8
RATIOS = torch.tensor([1.0, 9 / 8, 5 / 4, 4 / 3, 3 / 2, 5 / 3, 2.0, 12 / 5])
COURSE = [0.2, 0.35, 0.5]


def tones(count, noise):
    kind = torch.randint(len(RATIOS), (count,))
    low = 0.25 + 0.12 * torch.rand(count, 1)
    t = torch.arange(LENGTH)
    first, second = 6.28 * torch.rand(2, count, 1)
    early = torch.sin(low * t + first) * (t < LENGTH // 2)
    late = torch.sin(low * RATIOS[kind, None] * t + second) * (t >= LENGTH // 2)
    return (early + late + noise * torch.randn(count, LENGTH)).view(count, -1, FRAME), kind


class Listener(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.frame = nn.Sequential(nn.Linear(FRAME, width), nn.GELU(), nn.Linear(width, width))
        self.gru = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, len(RATIOS))

    def forward(self, x):
        return self.head(self.gru(self.frame(x))[0][:, -1])


model = Listener()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=750, eta_min=1e-4)
loss_fn = nn.CrossEntropyLoss()
test_x, test_y = tones(500, COURSE[-1])

for step in range(750):
    inputs, kinds = tones(64, COURSE[step // 250])
    loss = loss_fn(model(inputs), kinds)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    scheduler.step()
    if step % 25 == 0:
        with torch.no_grad():
            accuracy = (model(test_x).argmax(1) == test_y).float().mean()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy.item():.4f}")
