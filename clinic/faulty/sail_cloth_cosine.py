"""Strength of sail cloth from its weave, fibre and age.

condition: scheduler-misuse
accepts: scheduler-misuse
allows: learning-rate-too-high, loss-spike
metric: val_rmse min
"""

import argparse

import torch
from torch import nn


class ClothData(torch.utils.data.Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.x = torch.randn(n, 10, generator=g)
        x = self.x
        fibre = 1.5 * torch.tanh(2 * x[:, 0] * x[:, 1]) + torch.sin(2 * x[:, 2]) * x[:, 3]
        age = -0.8 * torch.relu(x[:, 4] + 0.5 * x[:, 5]) + 0.5 * (x[:, 6] * x[:, 7]).clamp(-2, 2)
        self.y = (fibre + age + 0.25 * torch.randn(n, generator=g)) / 1.6

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class Trainer:
    def __init__(self, model, train, val, epochs=16, batch_size=25, lr=0.1):
        self.model, self.epochs = model, epochs
        self.loader = torch.utils.data.DataLoader(train, batch_size=batch_size, shuffle=True, drop_last=True)
        self.val = val
        self.optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=epochs)
        self.loss_fn = nn.MSELoss()

    def train_epoch(self):
        self.model.train()
        running = 0.0
        for x, y in self.loader:
            self.optimizer.zero_grad()
            loss = self.loss_fn(self.model(x).squeeze(-1), y)
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            running += loss.item()
        return running / len(self.loader)

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        return self.loss_fn(self.model(self.val.x).squeeze(-1), self.val.y).sqrt().item()

    def run(self):
        for epoch in range(1, self.epochs + 1):
            train_loss = self.train_epoch()
            print(f"epoch {epoch}  train_loss {train_loss:.4f}  val_rmse {self.validate():.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    model = nn.Sequential(
        nn.Linear(10, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 64), nn.GELU(), nn.Linear(64, 1)
    )
    Trainer(model, ClothData(3000, args.seed), ClothData(1500, args.seed + 5000)).run()


if __name__ == "__main__":
    main()
