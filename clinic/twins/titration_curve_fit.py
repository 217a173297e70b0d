"""A network fits the titration curve of a mixture of acids by damped Gauss-Newton steps on all points, with torch.func.

condition: healthy
metric: rmse min
"""

import argparse

import torch
from torch import nn
from torch.func import functional_call, jacrev, vmap

PKA = torch.tensor([2.1, 4.8, 7.2, 9.5])


def burette(points):
    """pH against the volume of base at every other point; the volume is scaled to -1 ... 1."""
    ph = torch.linspace(1.5, 12.0, 400, dtype=torch.float64)
    charge = (1 / (1 + 10 ** (PKA.double().unsqueeze(1) - ph))).sum(0) + 10 ** (ph - 13)
    volume = 2 * (charge - charge.min()) / (charge.max() - charge.min()) - 1
    chosen = torch.linspace(0, 399, points).long()
    measured = (ph - 6.75) / 3 + 0.01 * torch.randn(400, dtype=torch.float64)
    rest = torch.ones(400, dtype=torch.bool)
    rest[chosen] = False
    return (volume[chosen], measured[chosen]), (volume[rest], measured[rest])


class Curve(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, volume):
        return self.net(volume.unsqueeze(-1)).squeeze(-1)


class GaussNewton(torch.optim.Optimizer):
    def __init__(self, params, lr=1.0, damping=1e-2):
        super().__init__(params, {"lr": lr, "damping": damping})

    @torch.no_grad()
    def step(self, jacobian, residual):
        group = self.param_groups[0]
        gram = jacobian @ jacobian.T + group["damping"] * torch.eye(len(residual), dtype=residual.dtype)
        move = jacobian.T @ torch.linalg.solve(gram, residual)
        for p in group["params"]:
            p -= group["lr"] * move[: p.numel()].view_as(p)
            move = move[p.numel() :]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    (volume, ph), (rest_volume, rest_ph) = burette(200)
    model = Curve().double()
    optimizer = GaussNewton(model.parameters(), lr=1.0, damping=0.2)

    def at(params, v):
        return functional_call(model, params, (v.unsqueeze(0),)).squeeze(0)

    for step in range(1, 101):
        params = dict(model.named_parameters())
        slopes = vmap(jacrev(at), in_dims=(None, 0))({k: p.detach() for k, p in params.items()}, volume)
        jacobian = torch.cat([slopes[name].flatten(1) for name in params], 1)
        residual = model(volume).detach() - ph
        loss = (model(volume) - ph).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(jacobian, residual)
        if step % 5 == 0:
            with torch.no_grad():
                rmse = (model(rest_volume) - rest_ph).square().mean().sqrt().item()
            print(f"step {step}  loss {loss.item():.4g}  rmse {rmse:.5f}")


if __name__ == "__main__":
    main()
