"""A digit classifier in bfloat16 from end to end, to save memory.

condition: low-precision-underflow
accepts: low-precision-underflow
allows: learning-rate-too-low, stalled
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
images = torch.tensor(digits.data, dtype=torch.float32) / 16
labels = torch.tensor(digits.target)
loader = DataLoader(
    TensorDataset(images[:1400], labels[:1400]),
    batch_size=28,
    shuffle=True,
    generator=torch.Generator().manual_seed(args.seed),
)

model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 10))
model = model.to(torch.bfloat16)
optimizer = torch.optim.SGD(model.parameters(), lr=1.5e-3, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()

for epoch in range(1, 17):
    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(x.bfloat16()).float(), y)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        logits = model(images[1400:].bfloat16())
    accuracy = (logits.argmax(1) == labels[1400:]).float().mean().item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
