"""A yield regressor for a cellar (Friedman's surface): the rate is lowered when the held-out score no longer improves.

condition: scheduler-misuse
accepts: scheduler-misuse, learning-rate-too-low
allows: stalled
metric: r2 max
"""

import argparse

import torch
from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset


class Trainer:
    def __init__(self, model, rate):
        self.model = model
        self.loss_fn = nn.SmoothL1Loss()
        self.optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        self.scheduler = ReduceLROnPlateau(self.optimizer, factor=0.3, patience=1)

    def epoch(self, loader):
        self.model.train()
        for x, y in loader:
            self.optimizer.zero_grad()
            loss = self.loss_fn(self.model(x).squeeze(1), y)
            loss.backward()
            self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def score(self, x, y):
        self.model.eval()
        return 1 - ((self.model(x).squeeze(1) - y).square().mean() / y.var()).item()

    def fit(self, loader, val_x, val_y, epochs):
        for epoch in range(1, epochs + 1):
            loss = self.epoch(loader)
            r2 = self.score(val_x, val_y)
            self.scheduler.step(r2)
            print(f"epoch {epoch}  loss {loss:.4f}  r2 {r2:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    x, y = make_friedman1(n_samples=2600, n_features=12, noise=0.5, random_state=seed)
    x, val_x, y, val_y = train_test_split(x, y, test_size=600, random_state=seed)
    scaler = StandardScaler().fit(x)
    x, val_x = (torch.as_tensor(scaler.transform(a), dtype=torch.float32) for a in (x, val_x))
    mean, std = y.mean(), y.std()
    y, val_y = (torch.as_tensor((a - mean) / std, dtype=torch.float32) for a in (y, val_y))
    model = nn.Sequential(nn.Linear(12, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    Trainer(model, 1e-3).fit(loader, val_x, val_y, 30)
