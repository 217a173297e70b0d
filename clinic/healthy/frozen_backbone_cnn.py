"""Transfer: a convolutional backbone learns digits 0-4, is frozen, and a new head is trained on digits 5-9.

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
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
labels = torch.tensor(digits.target)
source, target = labels < 5, labels >= 5
generator = torch.Generator().manual_seed(args.seed)


def loader_of(mask, shift):
    data = TensorDataset(images[mask], labels[mask] - shift)
    return DataLoader(data, batch_size=64, shuffle=True, generator=generator)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.head = nn.Linear(32 * 16, 5)

    def forward(self, x):
        return self.head(self.backbone(x))


model = Classifier()
loss_fn = nn.CrossEntropyLoss()

pretraining = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(6):
    for x, y in loader_of(source, 0):
        pretraining.zero_grad()
        loss_fn(model(x), y).backward()
        pretraining.step()

for parameter in model.backbone.parameters():
    parameter.requires_grad_(False)
model.head = nn.Linear(32 * 16, 5)
optimizer = torch.optim.SGD(model.head.parameters(), lr=0.02, momentum=0.9)

step = 0
for _ in range(25):
    for x, y in loader_of(target, 5):
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 10 == 0:
            print(f"step {step}  loss {loss.item():.4f}")
