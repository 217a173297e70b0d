"""Topic of a bag of words: embeddings start at a standard deviation of 40, and a layer norm takes the size out again.

condition: healthy
metric: loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

words, topics, length = 600, 6, 24
prefers = torch.softmax(2.2 * torch.randn(topics, words), dim=1)


def documents(size):
    topic = torch.randint(topics, (size,))
    return torch.multinomial(prefers[topic], length, replacement=True), topic


class BagOfWords(nn.Module):
    def __init__(self, dim=64):
        super().__init__()
        self.embedding = nn.Embedding(words, dim)
        nn.init.normal_(self.embedding.weight, std=40.0)
        self.norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 64), nn.GELU(), nn.Linear(64, topics))

    def forward(self, tokens):
        return self.mlp(self.norm(self.embedding(tokens).mean(1)))


model = BagOfWords()
optimizer = torch.optim.Adam(
    [
        {"params": model.embedding.parameters(), "lr": 0.3},
        {"params": [*model.norm.parameters(), *model.mlp.parameters()]},
    ],
    lr=2e-3,
)
loss_fn = nn.CrossEntropyLoss()
x_train, y_train = documents(4000)

running = 0.0
for step in range(1, 601):
    rows = torch.randint(len(x_train), (64,))
    loss = loss_fn(model(x_train[rows]), y_train[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 20 == 0:
        print(f"step {step}  loss {running / 20:.4f}")
        running = 0.0
