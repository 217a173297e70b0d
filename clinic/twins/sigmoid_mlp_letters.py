"""Which of Python's help topics a passage comes from, by its letter frequencies: an eight-layer classifier.

condition: healthy
metric: loss min
"""

import argparse
from pydoc_data import topics

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

names = sorted(topics.topics, key=lambda name: -len(topics.topics[name]))[:6]
rows, labels = [], []
for label, name in enumerate(names):
    codes = torch.tensor([min(ord(c), 127) for c in topics.topics[name][:16_000]])
    for passage in codes.split(200)[:-1]:
        rows.append(torch.bincount(passage, minlength=128).float())
        labels.append(label)
x = torch.stack(rows)
x = (x - x.mean(0)) / (x.std(0) + 0.1)
y = torch.tensor(labels)


class Classifier(nn.Module):
    def __init__(self, inputs, classes, width=64, depth=8):
        super().__init__()
        layers = [nn.Linear(inputs, width)]
        for _ in range(depth - 2):
            layers += [nn.ReLU(), nn.Linear(width, width)]
        layers += [nn.ReLU(), nn.Linear(width, classes)]
        for layer in layers[::2]:
            nn.init.kaiming_normal_(layer.weight)
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


model = Classifier(128, len(names))
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()

running = 0.0
for step in range(1, 401):
    batch = torch.randint(len(x), (64,))
    loss = loss_fn(model(x[batch]), y[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 10 == 0:
        print(f"step {step}  loss {running / 10:.4f}")
        running = 0.0
