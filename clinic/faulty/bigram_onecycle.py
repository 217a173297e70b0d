"""Word vectors from neighbouring words of Python's help texts, trained with a one-cycle rate.

condition: scheduler-misuse
accepts: scheduler-misuse, learning-rate-too-low
allows: learning-rate-too-low, stalled
metric: loss min
"""

import argparse
import re
from collections import Counter
from pydoc_data.topics import topics

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

words = re.findall(r"[a-z]+", " ".join(topics[name] for name in sorted(topics)).lower())[:24_000]
common = [word for word, _ in Counter(words).most_common(199)]
index = {word: i for i, word in enumerate(common, start=1)}
tokens = torch.tensor([index.get(word, 0) for word in words])
loader = DataLoader(
    TensorDataset(tokens[:-1], tokens[1:]),
    batch_size=600,
    shuffle=True,
    generator=torch.Generator().manual_seed(args.seed),
)

EPOCHS = 16
model = nn.Sequential(nn.Embedding(200, 32), nn.Linear(32, 200))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
scheduler = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, max_lr=2e-2, total_steps=EPOCHS * len(loader), pct_start=0.3, div_factor=100
)
loss_fn = nn.CrossEntropyLoss()

for epoch in range(1, EPOCHS + 1):
    total = 0.0
    for word, following in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(word), following)
        loss.backward()
        optimizer.step()
        total += loss.item()
    scheduler.step()
    print(f"epoch {epoch}  rate {scheduler.get_last_lr()[0]:.2e}  loss {total / len(loader):.4f}")
