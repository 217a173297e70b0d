"""Which foundry cast a bell, from its partials: a network for hum notes is carried over to foundries.

First the new head alone learns, then the body joins with an optimizer of its own.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn

PARTIALS, FOUNDRIES = 24, 8


def ring_bells(count, generator):
    """Log-amplitudes of partials: a pattern per foundry, bent by the size of the bell, with noise."""
    order = torch.arange(PARTIALS) / PARTIALS
    foundry = torch.randint(FOUNDRIES, (count,), generator=generator)
    size = torch.rand(count, generator=generator)
    tilt = torch.sin((3 + foundry[:, None]) * 2 * order + 3 * size[:, None])
    decay = torch.cos(6.0 * size[:, None] * (1 + order))
    partials = tilt * (1 + 0.5 * decay) + 0.35 * torch.randn(count, PARTIALS, generator=generator)
    return partials, size, foundry


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)

    body = nn.Sequential(nn.Linear(PARTIALS, 96), nn.LeakyReLU(0.1), nn.Linear(96, 96), nn.LeakyReLU(0.1))
    size_head = nn.Linear(96, 1)
    pretrain = torch.optim.AdamW([*body.parameters(), *size_head.parameters()], lr=2e-3)
    for step in range(1, 201):
        partials, size, _ = ring_bells(64, generator)
        error = (size_head(body(partials))[:, 0] - size).pow(2).mean()
        pretrain.zero_grad()
        error.backward()
        pretrain.step()

    head = nn.Linear(96, FOUNDRIES)
    model = nn.Sequential(body, head)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(head.parameters(), lr=0.05, momentum=0.9)
    body_optimizer = torch.optim.SGD(body.parameters(), lr=0.02, momentum=0.9)
    body.requires_grad_(False)
    partials, _, foundry = ring_bells(2000, generator)
    test, _, truth = ring_bells(800, generator)

    for step in range(1, 1001):
        if step == 301:
            body.requires_grad_(True)
        rows = torch.randint(len(partials), (64,), generator=generator)
        loss = loss_fn(model(partials[rows]), foundry[rows])
        optimizer.zero_grad()
        body_optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step > 300:
            body_optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                accuracy = (model(test).argmax(1) == truth).float().mean().item()
            print(f"step {step:4d}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
