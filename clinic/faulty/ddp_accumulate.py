"""Two processes classify rows of a table; four micro-batches of a rank make one step.

ranks: 2
condition: rank-desync
accepts: rank-desync
metric: val_loss min
"""

import argparse
from contextlib import nullcontext

import torch
import torch.distributed as dist
from sklearn.datasets import make_classification
from torch import nn
from torch.nn.parallel import DistributedDataParallel

ACCUMULATE, MICRO_BATCH = 4, 16


def table(seed):
    x, y = make_classification(3000, 20, n_informative=10, n_redundant=4, n_classes=6, class_sep=1.6, random_state=seed)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(seed)
    x, y = table(seed)
    val = slice(2400, None)
    # each rank reads the file of its own region
    own = (y[:2400] // 3 == rank).nonzero().squeeze(1)
    draw = torch.Generator().manual_seed(seed + 31 * rank)

    net = nn.Sequential(nn.Linear(20, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 6))
    model = DistributedDataParallel(net)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()

    for i in range(480):
        rows = own[torch.randint(len(own), (MICRO_BATCH,), generator=draw)]
        last = i % ACCUMULATE == 0
        with nullcontext() if last else model.no_sync():
            loss = loss_fn(model(x[rows]), y[rows]) / ACCUMULATE
            loss.backward()
        if (i + 1) % ACCUMULATE == 0:
            optimizer.step()
            optimizer.zero_grad()
            step = (i + 1) // ACCUMULATE
            if step % 6 == 0 and rank == 0:
                with torch.no_grad():
                    val_loss = loss_fn(net(x[val]), y[val]).item()
                print(f"step {step}  loss {loss.item() * ACCUMULATE:.4f}  val_loss {val_loss:.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
