"""A transformer encoder fills gaps in words of Python's help texts; warm-up and inverse root, as in the paper.

condition: healthy
metric: val_loss min
"""

import argparse
import re
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn

LETTERS, LENGTH, WIDTH, GAP = 28, 8, 48, 27


def vocabulary():
    found = re.findall(r"[a-z]{4,8}", " ".join(topics[name] for name in sorted(topics)[:40]).lower())
    words = sorted(set(found))
    table = torch.zeros(len(words), LENGTH, dtype=torch.long)
    for row, word in enumerate(words):
        table[row, : len(word)] = torch.tensor([ord(c) - 96 for c in word])
    return table


class GapFiller(nn.Module):
    def __init__(self, layers=2):
        super().__init__()
        self.letter, self.place = nn.Embedding(LETTERS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 96, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, LETTERS)

    def forward(self, words):
        return self.out(self.encoder(self.letter(words) + self.place.weight))


def noam(warmup):
    def factor(count):
        count = count + 1
        return min(count / warmup, (warmup / count) ** 0.5)

    return factor


def masked_loss(model, words):
    place = torch.randint(4, (len(words), 1))
    hidden = words.scatter(1, place, GAP)
    logits = model(hidden).gather(1, place.unsqueeze(2).expand(-1, -1, LETTERS)).squeeze(1)
    return F.cross_entropy(logits, words.gather(1, place).squeeze(1))


def main(seed, epochs=20, batch=64):
    torch.manual_seed(seed)
    words = vocabulary()
    words = words[torch.randperm(len(words))]
    val, train = words[:150], words[150 : 150 + 18 * batch]
    model = GapFiller()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, betas=(0.9, 0.98), eps=1e-9)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, noam(warmup=100))
    for epoch in range(1, epochs + 1):
        for rows in torch.randperm(len(train)).split(batch):
            loss = masked_loss(model, train[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        with torch.no_grad():
            val_loss = torch.stack([masked_loss(model, val) for _ in range(4)]).mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
main(parser.parse_args().seed)
