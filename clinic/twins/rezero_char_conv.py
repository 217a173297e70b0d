"""A causal convolution network guesses the next character of Python's help texts; residual branches start at zero.

condition: healthy
metric: val_loss min
"""

import argparse
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn


class CausalConv(nn.Conv1d):
    def __init__(self, channels, dilation):
        super().__init__(channels, 2 * channels, 3, dilation=dilation)
        self.past = 2 * dilation

    def forward(self, x):
        return super().forward(F.pad(x, (self.past, 0)))


class GatedBlock(nn.Module):
    def __init__(self, channels, dilation):
        super().__init__()
        self.conv = CausalConv(channels, dilation)
        self.mix = nn.Conv1d(channels, channels, 1)
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        value, gate = self.conv(x).chunk(2, 1)
        return x + self.gain * self.mix(torch.tanh(value) * torch.sigmoid(gate))


class CharNet(nn.Module):
    def __init__(self, letters, channels=48):
        super().__init__()
        self.embedding = nn.Embedding(letters, channels)
        self.blocks = nn.Sequential(*[GatedBlock(channels, 2**i) for i in range(4)])
        self.norm = nn.LayerNorm(channels)
        self.out = nn.Linear(channels, letters)

    def forward(self, ids):
        h = self.blocks(self.embedding(ids).transpose(1, 2)).transpose(1, 2)
        return self.out(self.norm(h))


def encode(names):
    text = "\n".join(topics[name] for name in names).lower()
    letters = sorted(set(text))
    table = {c: i for i, c in enumerate(letters)}
    return torch.tensor([table[c] for c in text]), len(letters)


def window(ids, count, length, generator):
    starts = torch.randint(len(ids) - length - 1, (count,), generator=generator)
    rows = ids[starts[:, None] + torch.arange(length + 1)]
    return rows[:, :-1], rows[:, 1:]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    ids, letters = encode(["assignment", "calls", "class", "import", "try", "with", "function"])
    cut = int(0.9 * len(ids))
    val_x, val_y = window(ids[cut:], 48, 48, generator)
    model = CharNet(letters)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 301):
        x, y = window(ids[:cut], 16, 48, generator)
        loss = loss_fn(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_x).flatten(0, 1), val_y.flatten()).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
