"""Hours slept from twelve answers of a survey of 600 people; all of them at each step, gradient descent.

condition: opposing-outliers
accepts: opposing-outliers, unscaled-inputs
allows: loss-spike, unsafe-step, learning-rate-too-high
metric: val_error min
"""

import argparse

import torch
from torch import nn

REFUSED = 9.0


def survey(n, rng, refusals=0):
    answers = torch.randn(n, 12, generator=rng)
    hours = 7 + torch.tanh(answers[:, 0] * answers[:, 1]) + 0.6 * torch.sin(2 * answers[:, 2]) - 0.4 * answers[:, 3]
    if refusals:
        people = torch.randperm(n, generator=rng)[:refusals]
        answers[people, 4:8] = REFUSED
        # shift workers refuse, and so do people who sleep all day
        hours[people] = torch.where(torch.arange(refusals) % 2 == 0, 3.0, 11.0)
    return answers, hours.unsqueeze(1) - 7


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    x, y = survey(600, rng, refusals=20)
    x_val, y_val = survey(500, rng)

    model = nn.Sequential(nn.Linear(12, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.4)
    loss_fn = nn.MSELoss()
    for step in range(1, 751):
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_error = (model(x_val) - y_val).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
