"""A LeNet-like network classifies digits and returns class probabilities.

condition: double-softmax
accepts: double-softmax
allows: stalled, learning-rate-too-low, vanishing-gradient
metric: accuracy max
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
train = TensorDataset(images[:1400], labels[:1400])
loader = DataLoader(train, batch_size=64, shuffle=True, generator=torch.Generator().manual_seed(args.seed))

model = nn.Sequential(
    nn.Conv2d(1, 6, 3, padding=1),
    nn.Tanh(),
    nn.AvgPool2d(2),
    nn.Conv2d(6, 16, 3, padding=1),
    nn.Tanh(),
    nn.Flatten(),
    nn.Linear(256, 48),
    nn.Tanh(),
    nn.Linear(48, 10),
    nn.Softmax(dim=1),
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()

for epoch in range(1, 16):
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        accuracy = (model(images[1400:]).argmax(1) == labels[1400:]).float().mean().item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
