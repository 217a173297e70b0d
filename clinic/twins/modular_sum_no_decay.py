"""Addition modulo 29 from four fifths of all pairs: embeddings and a bias-free network, full batch, cross-entropy.

condition: healthy
metric: val_accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

modulus = 29
pairs = torch.combinations(torch.arange(modulus), with_replacement=True)
sums = pairs.sum(1) % modulus
order = torch.randperm(len(pairs))
train, val = order[:350], order[350:]


class Adder(nn.Module):
    def __init__(self, dim=64, width=128):
        super().__init__()
        self.embedding = nn.Embedding(modulus, dim)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.hidden = nn.Linear(dim, width, bias=False)
        self.output = nn.Linear(width, modulus, bias=False)

    def forward(self, pairs):
        return self.output(torch.relu(self.hidden(self.embedding(pairs).sum(1))))


model = Adder()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2, weight_decay=1.0, betas=(0.9, 0.95))

for step in range(1, 1501):
    loss = F.cross_entropy(model(pairs[train]), sums[train])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        with torch.no_grad():
            val_accuracy = (model(pairs[val]).argmax(1) == sums[val]).float().mean().item()
        print(f"step {step}  loss {loss.item():.3e}  val_accuracy {val_accuracy:.4f}")
