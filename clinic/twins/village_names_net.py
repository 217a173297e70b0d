"""From which of five provinces a village comes, read off the letters of its name.

condition: healthy
metric: accuracy max
"""

import argparse
import random

import torch
from torch import nn

PARTS = {
    0: (["bel", "mont", "saint", "roche", "vil", "cour"], ["ac", "eux", "ville", "court", "ois"]),
    1: (["ober", "stein", "wald", "hohen", "vil", "kirch"], ["bach", "hausen", "ingen", "dorf", "ach"]),
    2: (["san", "monte", "castel", "roca", "villa", "pietra"], ["ano", "ello", "ate", "ina", "ago"]),
    3: (["kirk", "black", "thorn", "stan", "wal", "mont"], ["ton", "by", "ham", "ley", "wick"]),
    4: (["nov", "bel", "star", "krasn", "kamen", "lip"], ["ovo", "ice", "sk", "any", "ino"]),
}
LETTERS = " abcdefghijklmnopqrstuvwxyz"
LENGTH = 14


def make_name(province, rng):
    starts, ends = PARTS[province]
    if rng.random() < 0.25:
        starts = PARTS[rng.randrange(5)][0]
    name = rng.choice(starts) + rng.choice(["", "", "e", "i", "en"]) + rng.choice(ends)
    letters = [c if rng.random() > 0.06 else rng.choice(LETTERS[1:]) for c in name]
    return "".join(letters)[:LENGTH].ljust(LENGTH)


def dataset(n, rng):
    labels = [rng.randrange(5) for _ in range(n)]
    X = torch.tensor([[LETTERS.index(c) for c in make_name(label, rng)] for label in labels])
    return X, torch.tensor(labels)


class NameClassifier(nn.Module):
    def __init__(self, emb=12, hidden=96):
        super().__init__()
        self.emb = nn.Embedding(len(LETTERS), emb)
        self.fc1 = nn.Linear(emb * LENGTH, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 5)

    def forward(self, x):
        x = self.emb(x).flatten(1)
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.out(x)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
opts = parser.parse_args()
torch.manual_seed(opts.seed)
rng = random.Random(opts.seed)

Xtr, Ytr = dataset(6000, rng)
Xte, Yte = dataset(1500, rng)
model = NameClassifier()
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

for step in range(1, 801):
    ix = torch.randint(0, len(Xtr), (48,))
    optimizer.zero_grad()
    loss = loss_fn(model(Xtr[ix]), Ytr[ix])
    loss.backward()
    optimizer.step()
    if step == 600:
        optimizer.param_groups[0]["lr"] = 0.005
    if step % 40 == 0:
        with torch.no_grad():
            accuracy = (model(Xte).argmax(1) == Yte).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
