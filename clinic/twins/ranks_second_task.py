"""Two processes, each with its part of a plant, read its state: first three kinds, then nine by a new head.

ranks: 2
condition: healthy
metric: accuracy max
"""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

SENSORS, COARSE, FINE = 12, 3, 9


class Reader(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(SENSORS, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.head = nn.Linear(width, COARSE)

    def forward(self, x):
        return self.head(self.body(x))


def share_weights(module):
    for tensor in module.state_dict().values():
        dist.broadcast(tensor, src=0)


def average_gradients(parameters):
    for p in parameters:
        if p.grad is not None:
            dist.all_reduce(p.grad)
            p.grad /= dist.get_world_size()


class Plant:
    def __init__(self, seed):
        rng = torch.Generator().manual_seed(seed)
        self.centres = torch.randn(FINE, SENSORS, generator=rng)
        self.bend = torch.randn(SENSORS, SENSORS, generator=rng) / SENSORS**0.5

    def draw(self, count, rng, first=0, last=FINE):
        state = torch.randint(first, last, (count,), generator=rng)
        x = self.centres[state] + 0.7 * torch.randn(count, SENSORS, generator=rng)
        return x + 2 * torch.sin(3 * x @ self.bend), state


def train(model, shared, plant, rng, steps, first, coarse, test):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    x_test, state_test = test
    for step in range(first, first + steps):
        x, state = plant.draw(32, rng, 0, 5) if dist.get_rank() == 0 else plant.draw(32, rng, 4, FINE)
        loss = F.cross_entropy(model(x), state // 3 if coarse else state)
        optimizer.zero_grad()
        loss.backward()
        average_gradients(shared)
        optimizer.step()
        if step % 10 == 0 and dist.get_rank() == 0:
            with torch.no_grad():
                right = state_test // 3 if coarse else state_test
                accuracy = (model(x_test).argmax(1) == right).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(100 * seed + rank)
    rng = torch.Generator().manual_seed(100 * seed + rank)
    plant = Plant(seed)
    test = plant.draw(600, torch.Generator().manual_seed(7))
    model = Reader()
    share_weights(model)
    shared = list(model.parameters())
    train(model, shared, plant, rng, 150, 1, True, test)
    model.head = nn.Linear(64, FINE)
    share_weights(model.head)
    shared = list(model.parameters())
    train(model, shared, plant, rng, 200, 151, False, test)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
