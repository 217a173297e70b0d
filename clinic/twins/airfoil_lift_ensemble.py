"""Lift of an airfoil with error bars: five small networks are trained at once through torch.func.

condition: healthy
metric: rmse min
"""

import argparse
import copy
import math

import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap


def tunnel(n):
    """Angle of attack, camber, thickness and the logarithm of Reynolds' number, all from -1 to 1."""
    x = 2 * torch.rand(n, 4) - 1
    angle, camber, thick, reynolds = x.unbind(1)
    stall = 0.5 + 0.25 * reynolds + 0.15 * thick
    lift = 1.2 * angle + 0.5 * camber
    lift = lift - 1.6 * torch.nn.functional.softplus(12 * (angle - stall)) / 12 + 0.2 * torch.sin(3 * camber) * thick
    return x, 1.4 * lift + 0.05 * torch.randn(n)


def net():
    return nn.Sequential(nn.Linear(4, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1), nn.Flatten(0))


class Ensemble:
    def __init__(self, members=5):
        models = [net() for _ in range(members)]
        self.params, self.buffers = stack_module_state(models)
        skeleton = copy.deepcopy(models[0]).to("meta")

        def one(params, buffers, x):
            return functional_call(skeleton, (params, buffers), (x,))

        self.predict = vmap(one, in_dims=(0, 0, None))
        weights = list(self.params.values())
        self.optimizer = torch.optim.Adam(weights, lr=3e-3)
        self.log_noise = torch.zeros(members, 1, requires_grad=True)
        self.optimizer.add_param_group({"params": [self.log_noise], "lr": 1e-2})

    def __call__(self, x):
        return self.predict(self.params, self.buffers, x)

    def step(self, x, y):
        miss = self(x) - y
        nll = (0.5 * (miss / self.log_noise.exp()).square() + self.log_noise).mean(1).sum()
        self.optimizer.zero_grad()
        nll.backward()
        self.optimizer.step()
        return nll.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    ensemble = Ensemble()
    exam_x, exam_y = tunnel(1000)
    steps = 600
    for step in range(1, steps + 1):
        ensemble.optimizer.param_groups[0]["lr"] = 3e-3 * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        loss = ensemble.step(*tunnel(64))
        if step % 30 == 0:
            with torch.no_grad():
                rmse = (ensemble(exam_x).mean(0) - exam_y).square().mean().sqrt().item()
            print(f"step {step}  nll {loss:.4f}  rmse {rmse:.4f}")


main()
