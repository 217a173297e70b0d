"""Two towers for a shop: which of a customer and an item go together, with sparse tables and dense towers.

condition: healthy
metric: ranking_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

CUSTOMERS, ITEMS, TASTES = 300, 200, 6


class Tower(nn.Module):
    def __init__(self, count, dim=24, out=16):
        super().__init__()
        self.table = nn.Embedding(count, dim, sparse=True)
        self.mlp = nn.Sequential(nn.Linear(dim, 32), nn.ReLU(), nn.Linear(32, out))

    def forward(self, index):
        return F.normalize(self.mlp(self.table(index)), dim=1)


class TwoTower(nn.Module):
    def __init__(self):
        super().__init__()
        self.customers = Tower(CUSTOMERS)
        self.items = Tower(ITEMS)

    def forward(self, customer, item):
        return self.customers(customer) @ self.items(item).T / 0.15


def purchases(count, generator):
    taste = torch.randn(CUSTOMERS, TASTES, generator=generator)
    kind = torch.randn(ITEMS, TASTES, generator=generator)
    likes = (1.5 * taste @ kind.T).softmax(1)
    customer = torch.randint(CUSTOMERS, (count,), generator=generator)
    item = torch.multinomial(likes[customer], 1, generator=generator).squeeze(1)
    return customer, item


class Trainer:
    def __init__(self, model, lr):
        self.model = model
        tables = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
        dense = [p for name, p in model.named_parameters() if "mlp" in name]
        self.table_optimizer = torch.optim.SparseAdam(tables, lr=lr)
        self.optimizer = torch.optim.Adam(dense, lr=lr)

    def training_step(self, customer, item):
        scores = self.model(customer, item)
        loss = F.cross_entropy(scores, torch.arange(len(item)))
        self.table_optimizer.zero_grad()
        self.optimizer.zero_grad()
        loss.backward()
        self.table_optimizer.step()
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def ranking_loss(self, customer, item):
        scores = self.model(customer, torch.arange(ITEMS)).log_softmax(1)
        return -scores.gather(1, item.unsqueeze(1)).mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    customer, item = purchases(9000, generator)
    held = slice(8000, None)
    trainer = Trainer(TwoTower(), lr=4e-3)
    for step in range(1, 501):
        rows = torch.randint(8000, (96,), generator=generator)
        loss = trainer.training_step(customer[rows], item[rows])
        if step % 20 == 0:
            ranking = trainer.ranking_loss(customer[held], item[held])
            print(f"step {step}  loss {loss:.4f}  ranking_loss {ranking:.4f}")


if __name__ == "__main__":
    main()
