"""A small encoder reads a digit as eight rows of pixels; four small batches make one step of the optimiser.

condition: missing-zero-grad
accepts: missing-zero-grad
allows: learning-rate-too-high, divergence, loss-spike, unsafe-step, exploding-gradient, stalled,
  saturated-units, dead-units, attention-logit-growth
metric: val_error min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

ACCUMULATE = 4


class RowEncoder(nn.Module):
    def __init__(self, dim=32, depth=2):
        super().__init__()
        self.embed = nn.Linear(8, dim)
        self.place = nn.Parameter(0.1 * torch.randn(8, dim))
        layer = nn.TransformerEncoderLayer(dim, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.out = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 10))

    def forward(self, x):
        return self.out(self.encoder(self.embed(x) + self.place).mean(1))


def run(seed):
    torch.manual_seed(seed)
    digits = load_digits()
    data = TensorDataset(torch.tensor(digits.images / 8 - 1, dtype=torch.float32), torch.tensor(digits.target))
    train, val = random_split(data, [1297, 500])
    loader = DataLoader(train, batch_size=16, shuffle=True, drop_last=True)
    val_x, val_y = next(iter(DataLoader(val, batch_size=500)))
    model = RowEncoder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(1, 19):
        total = 0.0
        optimizer.zero_grad()
        for i, (x, y) in enumerate(loader):
            loss = loss_fn(model(x), y)
            (loss / ACCUMULATE).backward()
            total += loss.item()
            if (i + 1) % ACCUMULATE == 0:
                optimizer.step()
        with torch.no_grad():
            val_error = (model(val_x).argmax(1) != val_y).float().mean()
        print(f"epoch {epoch}  loss {total / len(loader):.4f}  val_error {val_error.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args().seed)
