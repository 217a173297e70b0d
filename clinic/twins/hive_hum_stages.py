"""What a colony of bees is up to, from the spectrum of its hum: learned at one hive, then fitted to a second one.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

MOODS, BANDS = 5, 64


def hums(count, pitch, muffled):
    """Calm, foraging, fanning, queenless, about to swarm: where the hum lies, its overtones and its roughness."""
    mood = torch.randint(MOODS, (count,))
    band = torch.arange(BANDS).float()
    base = pitch + torch.tensor([0.0, 1.5, -1.5, 0.5, 3.0])[mood] + 0.8 * torch.randn(count)
    second = torch.tensor([0.4, 0.8, 0.5, 1.1, 0.7])[mood] + 0.2 * torch.randn(count)
    rough = torch.tensor([0.1, 0.2, 0.5, 0.3, 0.1])[mood] + 0.1 * torch.randn(count)
    base, second, rough = (v.unsqueeze(1) for v in (base, second, rough))
    level = torch.exp(-(((band - base) / 1.5) ** 2)) + second * torch.exp(-(((band - 2.1 * base) / 2.5) ** 2))
    level = level + rough * torch.exp(-(((band - 45) / 9) ** 2))
    level = level * torch.exp(-muffled * band / BANDS) + 0.25 * torch.randn(count, BANDS)
    return TensorDataset((2 * level).unsqueeze(1), mood)


class HumNet(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.conv1 = nn.Conv1d(1, width, 7, stride=2, padding=3, bias=False)
        self.norm1 = nn.BatchNorm1d(width)
        self.conv2 = nn.Conv1d(width, width, 5, stride=2, padding=2, bias=False)
        self.norm2 = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(0.5)
        self.hidden = nn.Linear(width * 16, 96)
        self.out = nn.Linear(96, MOODS)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        x = self.drop(x.flatten(1))
        return self.out(self.drop(F.relu(self.hidden(x))))


class Keeper:
    def __init__(self, model):
        self.model = model
        self.epoch = 0

    def one_epoch(self, loader, optimizer):
        for hum, mood in loader:
            loss = F.cross_entropy(self.model(hum), mood)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def validate(self, data):
        self.epoch += 1
        self.model.eval()
        with torch.no_grad():
            hum, mood = data.tensors
            print(f"epoch {self.epoch}  val_loss {F.cross_entropy(self.model(hum), mood).item():.4f}")

    def train(self, data, held, epochs, rate):
        loader = DataLoader(data, batch_size=40, shuffle=True)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=rate)
        for _ in range(epochs):
            self.model.train()
            self.one_epoch(loader, optimizer)
            self.validate(held)

    def adapt(self, data, held, epochs, rate):
        loader = DataLoader(data, batch_size=40, shuffle=True)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=rate)
        for _ in range(epochs):
            self.model.train()
            self.one_epoch(loader, optimizer)
            self.validate(held)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

keeper = Keeper(HumNet())
keeper.train(hums(2000, 14, 0.3), hums(1000, 14, 0.3), epochs=10, rate=1e-3)
keeper.adapt(hums(500, 17, 1.2), hums(1000, 17, 1.2), epochs=20, rate=1e-3)
