"""Pen strokes of different lengths: how strongly does each curve to the left? A GRU over packed sequences.

condition: stalled
accepts: stalled
allows: overfitting, learning-rate-too-low
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, IterableDataset


class Strokes(IterableDataset):
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        for _ in range(self.count):
            length = int(torch.randint(6, 19, ()))
            bend = torch.randn(())
            heading = 6.283 * torch.rand(()) + 0.25 * bend * torch.arange(length) + 0.1 * torch.randn(length)
            yield torch.stack([heading.cos(), heading.sin()], 1), bend


def collate(samples):
    strokes, bends = zip(*samples, strict=True)
    strokes = sorted(strokes, key=len, reverse=True)
    lengths = torch.tensor([len(stroke) for stroke in strokes])
    return pad_sequence(strokes, batch_first=True), lengths, torch.stack(bends)


class StrokeReader(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.gru = nn.GRU(2, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, strokes, lengths):
        packed = pack_padded_sequence(strokes, lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.gru(packed)[1][-1]).squeeze(-1)


def held_out(count=200):
    samples = list(Strokes(count))
    lengths = torch.tensor([len(stroke) for stroke, _ in samples])
    return pad_sequence([s for s, _ in samples], batch_first=True), lengths, torch.stack([b for _, b in samples])


def main(seed):
    torch.manual_seed(seed)
    val_strokes, val_lengths, val_bends = held_out()
    model = StrokeReader()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loader = DataLoader(Strokes(200 * 24), batch_size=24, collate_fn=collate)
    for step, (strokes, lengths, bends) in enumerate(loader, 1):
        loss = F.mse_loss(model(strokes, lengths), bends)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                val_loss = F.mse_loss(model(val_strokes, val_lengths), val_bends)
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss.item():.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
main(parser.parse_args().seed)
