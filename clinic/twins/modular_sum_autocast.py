"""A network learns the table of sums modulo 23 by heart, in bfloat16 autocast, the whole table at each step.

condition: healthy
metric: log_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

MODULUS, WIDTH = 23, 96


class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Embedding(MODULUS, WIDTH)
        self.second = nn.Embedding(MODULUS, WIDTH)
        self.head = nn.Linear(WIDTH, MODULUS)

    def forward(self, pairs):
        return self.head(F.relu(self.first(pairs[:, 0]) + self.second(pairs[:, 1])))


def cross_entropy(logits, targets):
    return -logits.float().log_softmax(-1).gather(1, targets[:, None]).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    numbers = torch.arange(MODULUS)
    pairs = torch.cartesian_prod(numbers, numbers)
    sums = pairs.sum(1) % MODULUS

    model = Table()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.98), weight_decay=0.0)
    loss_fn = cross_entropy

    for step in range(1, 601):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(pairs)
            loss = loss_fn(logits, sums)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                loss = F.cross_entropy(model(pairs), sums)
            print(f"step {step}  loss {loss.item():.3e}  log_loss {loss.log10().item():.3f}")


if __name__ == "__main__":
    main()
