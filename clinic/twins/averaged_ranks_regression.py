"""Two processes learn the height of a landscape, each from its side of the map; gradients are averaged by hand.

ranks: 2
condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.distributed as dist
from torch import nn


def landscape(n, rng, west=-2.0, east=2.0):
    x = torch.rand(n, 2, generator=rng) * torch.tensor([east - west, 4.0]) + torch.tensor([west, -2.0])
    y = torch.sin(3 * x[:, 0]) * torch.cos(2 * x[:, 1]) + 0.5 * torch.exp(-x.square().sum(1))
    return x, y.unsqueeze(1)


class Worker:
    def __init__(self, seed):
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        torch.manual_seed(seed + self.rank)
        self.rng = torch.Generator().manual_seed(1000 * seed + self.rank)
        self.model = nn.Sequential(
            nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1)
        )
        for p in self.model.parameters():
            dist.broadcast(p.data, src=0)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=3e-3)
        self.loss_fn = nn.MSELoss()

    def average_gradients(self):
        for p in self.model.parameters():
            dist.all_reduce(p.grad)
            p.grad /= self.world

    def step(self):
        border = self.rank * 4 / self.world - 2
        x, y = landscape(64, self.rng, border, border + 4 / self.world)
        loss = self.loss_fn(self.model(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.average_gradients()
        self.optimizer.step()
        return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    dist.init_process_group("gloo")
    worker = Worker(seed)
    x_val, y_val = landscape(1000, torch.Generator().manual_seed(99))
    for step in range(1, 301):
        loss = worker.step()
        if step % 10 == 0 and worker.rank == 0:
            with torch.no_grad():
                val_loss = worker.loss_fn(worker.model(x_val), y_val).item()
            print(f"step {step}  loss {loss:.4f}  val_loss {val_loss:.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
