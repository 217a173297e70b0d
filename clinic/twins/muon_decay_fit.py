"""A small network follows the precession of muons in a field, fitted by damped Gauss-Newton steps on random bins.

condition: healthy
metric: error min
"""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
torch.set_default_dtype(torch.float64)

time = torch.linspace(0, 4, 500).unsqueeze(1)
clean = torch.exp(-time / 2.2) * (1 + 0.6 * torch.cos(2 * math.pi * 0.8 * time + 0.4))
counts = clean + 0.05 * clean.sqrt() * torch.randn_like(clean)


class Marquardt(torch.optim.Optimizer):
    """Gauss-Newton on the residuals of a batch; the damping falls as the fit closes in."""

    def __init__(self, params, damping=1.0, fall=0.98, floor=0.0):
        super().__init__(params, dict(damping=damping, fall=fall, floor=floor))

    def step(self, residual):
        group = self.param_groups[0]
        params = group["params"]
        rows = torch.autograd.grad(residual, params, torch.eye(len(residual)), is_grads_batched=True, retain_graph=True)
        jacobian = torch.cat([r.flatten(1) for r in rows], 1)
        gradient = torch.cat([p.grad.flatten() for p in params])
        curvature = jacobian.T @ jacobian / len(residual)
        curvature.diagonal().add_(group["damping"])
        move = torch.linalg.lstsq(curvature, gradient.unsqueeze(1)).solution.squeeze(1)
        start = 0
        for p in params:
            p.data -= move[start : start + p.numel()].view_as(p)
            start += p.numel()
        group["damping"] = max(group["floor"], group["damping"] * group["fall"])


model = nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 1))
with torch.no_grad():
    model[0].weight.mul_(2.0)
optimizer = Marquardt(model.parameters(), floor=0.003)
loss_fn = nn.MSELoss()

for step in range(600):
    bins = torch.randint(len(time), (128,))
    out = model(time[bins] - 2)
    loss = loss_fn(out, counts[bins]) / 2
    optimizer.zero_grad()
    loss.backward(retain_graph=True)
    optimizer.step((out - counts[bins]).squeeze(1))
    if step % 12 == 0:
        with torch.no_grad():
            error = (model(time - 2) - clean).abs().mean().item()
        print(f"step {step}  loss {loss.item():.5f}  error {error:.5f}")
