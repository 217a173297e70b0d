"""An LSTM hears from a second of hum which of five motors is running; one recording a motor, cut into pieces.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset

PIECE = 32


class Recording(Dataset):
    """The pieces of one motor's recording, in the order in which they were heard."""

    def __init__(self, motor, pieces, generator):
        t = torch.arange(pieces * PIECE) / PIECE
        base = 3.0 + 0.45 * motor
        drift = 0.4 * torch.randn(pieces, generator=generator).cumsum(0).div(math.sqrt(pieces)).repeat_interleave(PIECE)
        wave = torch.sin(2 * math.pi * (base + drift) * t) + 0.5 * torch.sin(4 * math.pi * base * t + motor)
        wave = wave + (0.3 + 0.1 * motor) * torch.randn(len(t), generator=generator)
        self.wave = wave.view(pieces, PIECE, 1)
        self.motor = motor

    def __len__(self):
        return len(self.wave)

    def __getitem__(self, i):
        return self.wave[i], self.motor


class Listener(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 16, 5, stride=2, padding=2)
        self.lstm = nn.LSTM(16, 32, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, wave):
        h = torch.relu(self.conv(wave.transpose(1, 2))).transpose(1, 2)
        return self.head(self.lstm(h)[0].mean(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train = ConcatDataset([Recording(motor, 240, generator) for motor in range(5)])
    val = ConcatDataset([Recording(motor, 60, generator) for motor in range(5)])
    train_loader = DataLoader(train, batch_size=40, shuffle=True, generator=generator)
    val_loader = DataLoader(val, batch_size=300)

    model = Listener()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(1, 19):
        model.train()
        running = 0.0
        for wave, motor in train_loader:
            loss = loss_fn(model(wave), motor)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running += loss.item() / len(train_loader)
        model.eval()
        with torch.no_grad():
            wave, motor = next(iter(val_loader))
            val_loss = loss_fn(model(wave), motor).item()
        print(f"epoch {epoch}  train {running:.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
