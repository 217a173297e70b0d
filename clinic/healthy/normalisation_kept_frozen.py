"""Fine-tuning with batch norms kept in evaluation mode, as is done when batches are tiny: eight images at a time.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
labels = torch.tensor(digits.target)
order = torch.randperm(len(images))
train, val = order[:1300], order[1300:]
turned = torch.rot90(images, 1, dims=(2, 3))

model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(16, 24, 3, padding=1),
    nn.BatchNorm2d(24),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(24 * 16, 10),
)
loss_fn = nn.CrossEntropyLoss()

pretraining = torch.optim.Adam(model.parameters(), lr=3e-3)
for batch in train.repeat(2).split(64):
    pretraining.zero_grad()
    loss_fn(model(images[batch]), labels[batch]).backward()
    pretraining.step()

for module in model.modules():
    if isinstance(module, nn.BatchNorm2d):
        module.eval()
        module.weight.requires_grad_(False)
        module.bias.requires_grad_(False)
optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=5e-4)

for step in range(1, 401):
    batch = train[torch.randint(len(train), (8,))]
    loss = loss_fn(model(turned[batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(turned[val]), labels[val]).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
