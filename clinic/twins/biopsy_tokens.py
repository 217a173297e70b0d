"""Benign or malignant: each figure of the cell nuclei is a token of a small transformer.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import nn


class FeatureTokens(nn.Module):
    """Each column has its own direction and offset, as in tabular transformers."""

    def __init__(self, columns, width):
        super().__init__()
        self.direction = nn.Parameter(0.3 * torch.randn(columns, width))
        self.offset = nn.Parameter(0.3 * torch.randn(columns, width))
        self.cls = nn.Parameter(0.3 * torch.randn(1, 1, width))

    def forward(self, x):
        tokens = x.unsqueeze(2) * self.direction + self.offset
        return torch.cat([self.cls.expand(len(x), -1, -1), tokens], 1)


class TableTransformer(nn.Module):
    def __init__(self, columns, width=16):
        super().__init__()
        self.tokens = FeatureTokens(columns, width)
        self.block = nn.TransformerEncoderLayer(width, 2, 32, dropout=0.1, batch_first=True)
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        return self.head(self.block(self.tokens(x))[:, 0]).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    table, target = load_breast_cancer(return_X_y=True)
    table = torch.tensor(table, dtype=torch.float32)
    target = torch.tensor(target, dtype=torch.float32)
    train, val = train_test_split(torch.arange(len(table)), test_size=0.35, random_state=1, stratify=target)
    table = (table - table[train].mean(0)) / table[train].std(0)
    model = TableTransformer(table.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    loss_fn = nn.BCEWithLogitsLoss()
    for epoch in range(1, 19):
        model.train()
        for rows in train[torch.randperm(len(train))].split(32):
            loss = loss_fn(model(table[rows]), target[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val_loss = loss_fn(model(table[val]), target[val]).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
