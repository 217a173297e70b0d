"""Code or prose? A convolution over the characters of sixty lines of Python's help texts; many steps, AdamW.

condition: overfitting
accepts: overfitting, naive-loss-minimisation
allows: output-logit-divergence, naive-loss-minimisation, softmax-collapse
metric: val_loss min
"""

import argparse
import random
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn


def lines(rng, width=36):
    prose, code = [], []
    for name in sorted(topics):
        for line in topics[name].splitlines():
            text = line.strip()
            if len(text) < 24:
                continue
            (code if line.startswith("      ") else prose).append(text[:width].ljust(width))
    rng.shuffle(prose)
    rng.shuffle(code)
    pairs = [(text, 0) for text in prose[:400]] + [(text, 1) for text in code[:400]]
    rng.shuffle(pairs)
    codes = torch.tensor([[min(ord(c), 127) for c in text] for text, _ in pairs])
    return codes, torch.tensor([label for _, label in pairs])


class LineNet(nn.Module):
    def __init__(self, channels=48, dropout=0.0):
        super().__init__()
        self.embed = nn.Embedding(128, 16)
        self.convs = nn.ModuleList([nn.Conv1d(16, channels, size) for size in (2, 3, 5)])
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(3 * channels, 2)

    def forward(self, codes):
        x = self.drop(self.embed(codes)).transpose(1, 2)
        return self.out(self.drop(torch.cat([F.relu(conv(x)).amax(2) for conv in self.convs], 1)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    codes, labels = lines(random.Random(seed))
    labels = torch.where(torch.rand(len(labels)) < 0.1, 1 - labels, labels)
    known = 60
    val = slice(500, 800)
    model = LineNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(1, 301):
        rows = torch.randint(known, (20,))
        model.train()
        loss = F.cross_entropy(model(codes[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            model.eval()
            with torch.no_grad():
                val_loss = F.cross_entropy(model(codes[val]), labels[val]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
