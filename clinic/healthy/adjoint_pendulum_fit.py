"""The law of a swinging damper from its recordings: a neural differential equation with a hand-written adjoint.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

STEP, POINTS = 0.12, 14


def rk4(f, z, h):
    a = f(z)
    b = f(z + h / 2 * a)
    c = f(z + h / 2 * b)
    return z + h / 6 * (a + 2 * b + 2 * c + f(z + h * c))


class Solve(torch.autograd.Function):
    """The whole path forwards without a graph; backwards one step of it at a time."""

    @staticmethod
    def forward(ctx, start, law, *weights):
        path = [start]
        with torch.no_grad():
            for _ in range(POINTS - 1):
                path.append(rk4(law, path[-1], STEP))
        path = torch.stack(path)
        ctx.law = law
        ctx.save_for_backward(path)
        return path

    @staticmethod
    def backward(ctx, grad):
        (path,) = ctx.saved_tensors
        weights = list(ctx.law.parameters())
        adjoint, totals = grad[-1], [torch.zeros_like(w) for w in weights]
        for k in reversed(range(POINTS - 1)):
            with torch.enable_grad():
                z = path[k].detach().requires_grad_()
                back, *parts = torch.autograd.grad(rk4(ctx.law, z, STEP), [z, *weights], adjoint)
            adjoint = back + grad[k]
            totals = [t + p for t, p in zip(totals, parts, strict=True)]
        return adjoint, None, *totals


def truth(z):
    angle, speed = z.unbind(-1)
    return torch.stack([speed, -2.0 * torch.sin(angle) - 0.15 * speed * speed.abs()], -1)


def recordings(count, rng):
    z = (2 * torch.rand(count, 2, generator=rng) - 1) * torch.tensor([2.2, 1.5])
    path = [z]
    for _ in range(POINTS - 1):
        for _ in range(4):
            z = rk4(truth, z, STEP / 4)
        path.append(z)
    return torch.stack(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    train, val = recordings(400, rng), recordings(200, rng)
    train = train + 0.02 * torch.randn(train.shape, generator=rng)
    law = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(law.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)
    for step in range(1, 501):
        batch = train[:, torch.randint(train.shape[1], (40,))]
        path = Solve.apply(batch[0], law, *law.parameters())
        loss = (path - batch).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0:
            with torch.no_grad():
                error = (Solve.apply(val[0], law, *law.parameters()) - val).pow(2).mean().sqrt().item()
            print(f"step {step}  loss {loss.item():.5f}  val_error {error:.4f}")


if __name__ == "__main__":
    main()
