"""A network with squared units learns sums modulo 23 from six tenths of the table; will it know the rest?

condition: softmax-collapse
accepts: softmax-collapse, naive-loss-minimisation
allows: naive-loss-minimisation, output-logit-divergence, loss-spike, overfitting, epsilon-dominated-update
metric: accuracy max
"""

import argparse

import torch
from torch import nn

MODULUS, WIDTH = 23, 96


class Adder(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Embedding(MODULUS, WIDTH)
        self.second = nn.Embedding(MODULUS, WIDTH)
        self.head = nn.Linear(WIDTH, MODULUS, bias=False)
        nn.init.normal_(self.first.weight, std=0.3)
        nn.init.normal_(self.second.weight, std=0.3)

    def forward(self, pairs):
        return self.head((self.first(pairs[:, 0]) + self.second(pairs[:, 1])).square())


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

numbers = torch.arange(MODULUS)
pairs = torch.cartesian_prod(numbers, numbers)
sums = pairs.sum(1) % MODULUS
order = torch.randperm(len(pairs))
train, test = order[:317], order[317:]

model = Adder()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-2, betas=(0.9, 0.95), weight_decay=0.0)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, 601):
    loss = loss_fn(model(pairs[train]), sums[train])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 30 == 0:
        with torch.no_grad():
            accuracy = (model(pairs[test]).argmax(1) == sums[test]).float().mean().item()
        print(f"step {step}  loss {loss.item():.3e}  accuracy {accuracy:.4f}")
