"""Salt in wells from place and depth: first the old survey, then the new one of the next valley.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def survey(count, east, generator):
    place = torch.rand(count, 3, generator=generator) * 2 - 1
    a, b, depth = (place + torch.tensor([east, 0.0, 0.0])).unbind(1)
    salt = torch.sin(3 * a) * torch.cos(2 * b) + 0.6 * depth * torch.sin(2 * a + b) + 0.3 * depth
    x = torch.stack([a - 1.0, b, depth], 1)
    return TensorDataset(x, salt + 0.15 * torch.randn(count, generator=generator))


class Waves(nn.Module):
    def __init__(self, count=32):
        super().__init__()
        self.register_buffer("pitch", 1.2 * torch.randn(3, count))
        self.net = nn.Sequential(nn.Linear(2 * count, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))

    def forward(self, x):
        angle = x @ self.pitch * math.pi / 2
        return self.net(torch.cat([angle.sin(), angle.cos()], 1)).squeeze(1)


def step_on(batch, model, optimizer, loss_fn):
    x, y = batch
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def endless(loader):
    while True:
        yield from loader


def main(seed):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    old = DataLoader(survey(1500, 0.0, generator), batch_size=50, shuffle=True)
    new = DataLoader(survey(1500, 2.0, generator), batch_size=32, shuffle=True)
    val = [survey(400, east, generator).tensors for east in (0.0, 2.0)]
    model = Waves()
    loss_fn = nn.MSELoss()
    step = 0
    for stage, (loader, rate, steps) in enumerate([(old, 3e-3, 500), (new, 1e-3, 700)]):
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        stream = endless(loader)
        for _ in range(steps):
            loss = step_on(next(stream), model, optimizer, loss_fn)
            step += 1
            if step % 40 == 0:
                with torch.no_grad():
                    val_loss = loss_fn(model(val[1][0]), val[1][1])
                print(f"step {step}  stage {stage}  loss {loss:.4f}  val_loss {val_loss.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
