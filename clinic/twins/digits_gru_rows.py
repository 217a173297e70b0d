"""A GRU reads digits row by row; the learning rate is divided by ten now and then.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class RowReader(nn.Module):
    def __init__(self, hidden_size=48):
        super().__init__()
        self.gru = nn.GRU(8, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, 10)

    def forward(self, images):
        _, last = self.gru(images)
        return self.head(last[-1])


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32) / 16
labels = torch.tensor(digits.target)
loader = DataLoader(
    TensorDataset(images[:1400], labels[:1400]),
    batch_size=70,
    shuffle=True,
    generator=torch.Generator().manual_seed(args.seed),
)
model = RowReader()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=8, gamma=0.1)
loss_fn = nn.CrossEntropyLoss()

for epoch in range(1, 17):
    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
    scheduler.step()
    with torch.no_grad():
        accuracy = (model(images[1400:]).argmax(1) == labels[1400:]).float().mean().item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
