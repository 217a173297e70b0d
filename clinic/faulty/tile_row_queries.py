"""Learned queries look at the sixteen tiles of a handwritten digit, and a readout names it.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters, frozen-parameters
allows: detached-parameters, overfitting
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

pictures, labels = load_digits(return_X_y=True)
pictures = torch.tensor(pictures, dtype=torch.float32).view(-1, 8, 8) / 16
labels = torch.tensor(labels)
tiles = pictures.unfold(1, 2, 2).unfold(2, 2, 2).reshape(-1, 16, 4)
order = torch.randperm(len(tiles))
train, test = order[:1300], order[1300:]


class Looker(nn.Module):
    def __init__(self, width=48, queries=6):
        super().__init__()
        self.tile = nn.Linear(4, width)
        self.where = nn.Parameter(torch.zeros(16, width))
        self.queries = nn.Parameter(0.1 * torch.randn(queries, width))
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 96), nn.GELU(), nn.Linear(96, width))
        self.readout = nn.Linear(queries * width, 10)

    def forward(self, tiles):
        seen = torch.tanh(self.tile(tiles) + self.where)
        scores = self.queries @ self.key(seen).transpose(1, 2)
        looks = scores.softmax(-1) @ self.value(seen)
        looks = looks + self.mlp(self.norm(looks))
        return self.readout(looks.flatten(1))


model = Looker()
weights = [p for name, p in model.named_parameters() if name.endswith("weight")]
biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
optimizer = torch.optim.AdamW(
    [
        {"params": weights, "weight_decay": 0.05},
        {"params": biases, "weight_decay": 0.0},
    ],
    lr=3e-3,
)
loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)

for step in range(600):
    rows = train[torch.randint(len(train), (64,))]
    loss = loss_fn(model(tiles[rows]), labels[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            accuracy = (model(tiles[test]).argmax(1) == labels[test]).float().mean()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy.item():.4f}")
