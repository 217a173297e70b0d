"""Matrix factorisation of sparse ratings: sparse embeddings with SparseAdam, a rank of six and biases.

condition: healthy
metric: rmse min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

users, items, rank, count = 300, 200, 4, 20_000
taste, trait = torch.randn(users, rank), torch.randn(items, rank)
user, item = torch.randint(users, (count,)), torch.randint(items, (count,))
rating = 3.5 + 0.5 * (taste[user] * trait[item]).sum(1) + 0.3 * torch.randn(count)
train, val = slice(0, 18_000), slice(18_000, count)


class Factorisation(nn.Module):
    def __init__(self, rank=6):
        super().__init__()
        self.users = nn.Embedding(users, rank + 1, sparse=True)
        self.items = nn.Embedding(items, rank + 1, sparse=True)
        for embedding in (self.users, self.items):
            nn.init.normal_(embedding.weight, std=0.3)

    def forward(self, user, item):
        p, q = self.users(user), self.items(item)
        return 3.5 + (p[:, 1:] * q[:, 1:]).sum(1) + p[:, 0] + q[:, 0]


model = Factorisation()
optimizer = torch.optim.SparseAdam(list(model.parameters()), lr=1e-2)
loss_fn = nn.MSELoss()

for step in range(1, 601):
    batch = torch.randint(18_000, (256,))
    loss = loss_fn(model(user[batch], item[batch]), rating[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            rmse = loss_fn(model(user[val], item[val]), rating[val]).sqrt().item()
        print(f"step {step}  loss {loss.item():.4f}  rmse {rmse:.4f}")
