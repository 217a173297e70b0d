"""Two processes train one digit classifier, each on its half of the data.

ranks: 2
condition: rank-desync
accepts: rank-desync
allows: overfitting
metric: loss min
"""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.body(x))

    def training_loss(self, x, y):
        return F.cross_entropy(self(x), y)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(seed)

    # each rank holds the digits of its own half of the sorted set
    images, labels = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
    images = images.float() / 16
    order = torch.randperm(len(images))
    train, test = order[:1400], order[1400:]
    train = train[labels[train].argsort()].chunk(world)[rank]

    model = DistributedDataParallel(Net())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(seed + 1000 * rank)

    for step in range(1, 201):
        rows = train[torch.randint(len(train), (32,))]
        optimizer.zero_grad()
        loss = model.module.training_loss(images[rows], labels[rows])
        loss.backward()
        optimizer.step()
        if step % 10 == 0 and rank == 0:
            with torch.no_grad():
                logits = model.module(images[test])
            loss = F.cross_entropy(logits, labels[test])
            print(f"step {step}  loss {loss.item():.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
