"""Rate of an enzyme with two inhibitors: a small network by Levenberg-Marquardt, all readings at once.

condition: healthy
infos: stale-batch
metric: val_error min
"""

import argparse

import torch
from torch import nn
from torch.func import functional_call, grad, vmap


class LevenbergMarquardt(torch.optim.Optimizer):
    """Damped Gauss-Newton; a step that does not lower the error is taken back and the damping is raised."""

    def __init__(self, model, damping=1.0, decay=1e-4):
        super().__init__(list(model.parameters()), {"damping": damping})
        self.model, self.decay, self.taken = model, decay, 0

    def _one(self, weights, row):
        return functional_call(self.model, weights, (row[None],))[0]

    @torch.no_grad()
    def step(self, x, y):
        group = self.param_groups[0]
        weights = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        gap = self.model(x) - y
        rows = vmap(grad(self._one), in_dims=(None, 0))(weights, x)
        jacobian = torch.cat([j.flatten(1) for j in rows.values()], 1)
        flat = torch.cat([w.flatten() for w in weights.values()])
        square = jacobian.T @ jacobian
        slope = jacobian.T @ gap + self.decay * flat
        error = gap.pow(2).sum() + self.decay * flat.pow(2).sum()
        damped = square + (group["damping"] + self.decay) * torch.eye(len(slope), dtype=slope.dtype)
        nn.utils.vector_to_parameters(flat - torch.linalg.solve(damped, slope), self.model.parameters())
        new = nn.utils.parameters_to_vector(self.model.parameters())
        after = (self.model(x) - y).pow(2).sum() + self.decay * new.pow(2).sum()
        if after < error:
            group["damping"], self.taken = max(group["damping"] / 1.3, 1e-7), self.taken + 1
            return after.item()
        nn.utils.vector_to_parameters(flat, self.model.parameters())
        group["damping"] = min(group["damping"] * 2, 1e6)
        return error.item()


def kinetics(count, rng):
    substrate, one, two = torch.rand(3, count, generator=rng, dtype=torch.float64)
    speed = substrate / (substrate + 0.15 * (1 + 6 * one) + 0.1) / (1 + 3 * two**2) + 0.2 * substrate * (two > 0.5) * (
        two - 0.5
    )
    inputs = torch.stack([substrate, one, two], 1) * 3.4 - 1.7
    return inputs, (speed - 0.3) / 0.2 + 0.05 * torch.randn(count, generator=rng, dtype=torch.float64)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.float64)
    rng = torch.Generator().manual_seed(seed)
    x, y = kinetics(800, rng)
    x_val, y_val = kinetics(800, rng)
    model = nn.Sequential(nn.Linear(3, 14), nn.Tanh(), nn.Linear(14, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    optimizer = LevenbergMarquardt(model, damping=3e3, decay=0.02)
    for step in range(1, 121):
        error = optimizer.step(x, y)
        if step % 6 == 0:
            with torch.no_grad():
                val = (model(x_val) - y_val).pow(2).mean().sqrt().item()
            print(
                f"step {step}  error {error:.4f}  taken {optimizer.taken}  damping {optimizer.param_groups[0]['damping']:.1e}  val_error {val:.4f}"
            )


if __name__ == "__main__":
    main()
