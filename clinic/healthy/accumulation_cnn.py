"""Digits with a batch-normalised CNN; gradients of four micro-batches make one step of SGD with momentum.

condition: healthy
metric: loss min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
labels = torch.tensor(digits.target)
generator = torch.Generator().manual_seed(args.seed)
loader = DataLoader(TensorDataset(images, labels), batch_size=16, shuffle=True, drop_last=True, generator=generator)

model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1, bias=False),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, padding=1, bias=False),
    nn.BatchNorm2d(32),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(32, 32, 3, padding=1, bias=False),
    nn.BatchNorm2d(32),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(32, 10),
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=300)
loss_fn = nn.CrossEntropyLoss()
accumulate = 4

step, micro, running = 0, 0, 0.0
while step < 300:
    for x, y in loader:
        loss = loss_fn(model(x), y) / accumulate
        loss.backward()
        running += loss.item()
        micro += 1
        if micro % accumulate:
            continue
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
        step += 1
        if step % 10 == 0:
            print(f"step {step}  loss {running / 10:.4f}")
            running = 0.0
        if step == 300:
            break
