"""Python keywords or builtins? A multi-class hinge loss on hashed letters; its loss ends at exactly nothing.

condition: healthy
infos: overfitting
metric: accuracy max
"""

import argparse
import re
from pydoc_data.topics import topics

import torch
from torch import nn

BUCKETS = 512
NAMES = ("assignment", "import", "class", "try", "operator-summary", "formatstrings")


def fragments():
    rows, labels = [], []
    for label, name in enumerate(NAMES):
        words = re.findall(r"[A-Za-z]+|[^\sA-Za-z]", topics[name])[:1200]
        for start in range(0, len(words) - 20, 8):
            row = torch.zeros(BUCKETS)
            for word in words[start : start + 20]:
                row[sum(ord(c) * 31**i for i, c in enumerate(word)) % BUCKETS] += 1
            rows.append(row)
            labels.append(label)
    return torch.stack(rows), torch.tensor(labels)


def main(seed):
    torch.manual_seed(seed)
    x, y = fragments()
    order = torch.randperm(len(x))
    train, val = order[: int(0.8 * len(x))], order[int(0.8 * len(x)) :]
    model = nn.Sequential(nn.Linear(BUCKETS, 48), nn.ReLU(), nn.Linear(48, len(NAMES)))
    loss_fn = nn.MultiMarginLoss(margin=1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    for epoch in range(1, 21):
        for rows in train[torch.randperm(len(train))].split(24):
            loss = loss_fn(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        with torch.no_grad():
            accuracy = (model(x[val]).argmax(1) == y[val]).float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.5f}  accuracy {accuracy:.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
main(parser.parse_args().seed)
