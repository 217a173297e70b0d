"""Meta-learning of sine waves: weights from which one inner step on five points already fits a new wave.

condition: healthy
metric: adapted min
"""

import argparse
import math

import torch
from torch import nn
from torch.func import functional_call


def wave_tasks(count, points):
    amplitude, phase = 0.5 + 2 * torch.rand(count, 1, 1), math.pi * torch.rand(count, 1, 1)
    x = 10 * torch.rand(count, points, 1) - 5
    return x, amplitude * torch.sin(x + phase)


def inner_steps(model, loss_fn, weights, x, y, rate, steps):
    for _ in range(steps):
        loss = loss_fn(functional_call(model, weights, (x,)), y)
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        weights = {name: w - rate * g for (name, w), g in zip(weights.items(), gradients, strict=True)}
    return weights


def meta_loss(model, loss_fn, x, y, shots=5, rate=0.03, steps=1):
    total = 0.0
    for task_x, task_y in zip(x, y, strict=True):
        weights = inner_steps(
            model, loss_fn, dict(model.named_parameters()), task_x[:shots], task_y[:shots], rate, steps
        )
        total = total + loss_fn(functional_call(model, weights, (task_x[shots:],)), task_y[shots:])
    return total / len(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    loss_fn = nn.MSELoss()
    test_x, test_y = wave_tasks(40, 25)
    for step in range(1, 321):
        x, y = wave_tasks(4, 15)
        loss = meta_loss(model, loss_fn, x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            adapted = meta_loss(model, loss_fn, test_x, test_y).item()
            print(f"step {step}  loss {loss.item():.4f}  adapted {adapted:.4f}")


if __name__ == "__main__":
    main()
