"""Which of three subtypes has a tumour? Ninety patients, two hundred genes, and a network of two layers.

condition: healthy
metric: val_loss min
"""

import argparse
from dataclasses import dataclass

import torch
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


@dataclass
class Config:
    hidden: int = 128
    dropout: float = 0.5
    weight_decay: float = 10.0
    noise: float = 1.0
    lr: float = 1e-3
    epochs: int = 60
    batch: int = 16


def panel(seed):
    x, y = make_classification(
        490, 200, n_informative=12, n_redundant=20, n_classes=3, n_clusters_per_class=1, class_sep=1.2, flip_y=0.1,
        random_state=seed,
    )  # fmt: skip
    parts = train_test_split(x, y, train_size=90, random_state=seed, stratify=y)
    scaler = StandardScaler().fit(parts[0])
    x_train, x_val = (torch.tensor(scaler.transform(part), dtype=torch.float32) for part in parts[:2])
    return x_train, torch.tensor(parts[2]), x_val, torch.tensor(parts[3])


class Subtypes(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.noise = config.noise
        self.layers = nn.Sequential(
            nn.Linear(200, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, 3),
        )

    def forward(self, x):
        if self.training:
            x = x + self.noise * torch.randn_like(x)
        return self.layers(x)


def train_epoch(model, optimizer, loss_fn, x, y, batch):
    model.train()
    losses = []
    for rows in torch.randperm(len(x)).split(batch):
        loss = loss_fn(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    config = Config()
    x, y, x_val, y_val = panel(seed)
    model = Subtypes(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(1, config.epochs + 1):
        loss = train_epoch(model, optimizer, loss_fn, x, y, config.batch)
        model.eval()
        with torch.no_grad():
            val_loss = loss_fn(model(x_val), y_val).item()
        if epoch % 2 == 0:
            print(f"epoch {epoch}  loss {loss:.4f}  val_loss {val_loss:.4f}")


main()
