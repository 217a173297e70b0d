"""Benign or malign? A network with dropout reads the measured cell nuclei of a small clinic.

condition: eval-mode-training
accepts: eval-mode-training
allows: overfitting
metric: val_loss min
"""

import argparse

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class TissueNet(nn.Module):
    def __init__(self, inputs, width=192):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, width),
            nn.ReLU(),
            nn.Dropout(0.6),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Dropout(0.6),
            nn.Linear(width, 2),
        )

    def forward(self, x):
        return self.layers(x)


class Trainer:
    def __init__(self, model, train, val, lr):
        self.model, self.val = model, val
        self.loader = DataLoader(TensorDataset(*train), batch_size=32, shuffle=True)
        self.loss_fn = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=1e-4)

    def evaluate(self):
        self.model.eval()
        with torch.no_grad():
            return self.loss_fn(self.model(self.val[0]), self.val[1]).item()

    def fit(self, epochs):
        self.model.train()
        for epoch in range(1, epochs + 1):
            total = 0.0
            for x, y in self.loader:
                loss = self.loss_fn(self.model(x), y)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                total += loss.item() * len(x)
            print(f"epoch {epoch}  loss {total / len(self.loader.dataset):.4f}  val_loss {self.evaluate():.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    table = load_breast_cancer()
    x = torch.tensor(table.data, dtype=torch.float32)[:, :10]
    y = torch.tensor(table.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(3))
    x, y = x[order], y[order]
    x = (x - x[:220].mean(0)) / x[:220].std(0)
    x = x + 0.4 * torch.randn(x.shape)
    second_reader = torch.rand(220, generator=torch.Generator().manual_seed(4)) < 0.1
    y[:220] = torch.where(second_reader, 1 - y[:220], y[:220])
    Trainer(TissueNet(10), (x[:220], y[:220]), (x[220:], y[220:]), 2e-3).fit(60)


if __name__ == "__main__":
    main()
