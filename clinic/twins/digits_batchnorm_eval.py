"""A convolutional network with batch normalisation reads digits and is evaluated after each epoch.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def evaluate(model, images, labels):
    model.eval()
    with torch.no_grad():
        return (model(images).argmax(1) == labels).float().mean().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1)
labels = torch.tensor(digits.target)
loader = DataLoader(
    TensorDataset(images[:1200], labels[:1200]),
    batch_size=60,
    shuffle=True,
    generator=torch.Generator().manual_seed(args.seed),
)
model = nn.Sequential(
    nn.BatchNorm2d(1),
    nn.Conv2d(1, 8, 3, padding=1, bias=False),
    nn.BatchNorm2d(8),
    nn.ReLU(),
    nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.Conv2d(16, 16, 3, stride=2, padding=1, bias=False),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(64, 10),
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()

for epoch in range(1, 16):
    model.train()
    for x, y in loader:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    accuracy = evaluate(model, images[1200:], labels[1200:])
    print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
