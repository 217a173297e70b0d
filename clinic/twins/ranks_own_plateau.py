"""Two processes fit one surface with a wrapped network; the rate is lowered when the loss no longer falls.

ranks: 2
harm: latent
condition: healthy
metric: rmse min
"""

import argparse

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def surface(p):
    return torch.sin(4 * p[:, 0]) * torch.cos(3 * p[:, 1]) + p[:, 0] * p[:, 1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(seed)

    net = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    model = DistributedDataParallel(net)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.7, patience=0)
    loss_fn = nn.MSELoss()
    points = torch.rand(600, 2) * 2 - 1
    torch.manual_seed(seed + 1000 * rank)

    total = torch.zeros(())
    for step in range(1, 301):
        x = torch.rand(64, 2) * 2 - 1
        loss = loss_fn(model(x).squeeze(1), surface(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach()
        if step % 10 == 0:
            dist.all_reduce(total)
            scheduler.step(total / 10)
            total.zero_()
        if step % 15 == 0 and rank == 0:
            with torch.no_grad():
                rmse = loss_fn(model.module(points).squeeze(1), surface(points)).sqrt().item()
            print(f"step {step}  rmse {rmse:.5f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
