"""Yield of a stirred reactor by a mixture of experts; new modes of operation join in, the rate goes up and down.

condition: healthy
metric: val_error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def runs(n, gen, modes):
    """Feed, temperature, stirring, age of the catalyst; each mode of operation obeys another law."""
    mode = torch.randint(modes, (n,), generator=gen)
    v = 2 * torch.rand(n, 4, generator=gen) - 1
    feed, heat, stir, age = v.unbind(1)
    laws = torch.stack(
        [
            torch.tanh(2 * heat) - 0.5 * age,
            feed * stir + 0.5 * torch.cos(3 * heat),
            torch.exp(-2 * (heat - 0.3) ** 2) * (1 - age) - 0.7,
            torch.sin(3 * feed) * (0.5 + 0.5 * stir) + 0.3 * heat,
        ],
        1,
    )
    y = laws[torch.arange(n), mode]
    x = torch.cat([v, F.one_hot(mode, 4).float()], 1)
    return x, y + 0.05 * torch.randn(n, generator=gen)


class Experts(nn.Module):
    def __init__(self, experts=6, width=24, chosen=2):
        super().__init__()
        self.chosen = chosen
        self.gate = nn.Linear(8, experts)
        self.w1 = nn.Parameter(torch.randn(experts, 8, width) * 0.35)
        self.b1 = nn.Parameter(torch.zeros(experts, width))
        self.w2 = nn.Parameter(torch.randn(experts, width) * 0.2)
        self.b2 = nn.Parameter(torch.zeros(experts))

    def forward(self, x):
        share = torch.softmax(self.gate(x), 1)
        top, which = share.topk(self.chosen, 1)
        mask = torch.zeros_like(share).scatter(1, which, top)
        mask = mask / mask.sum(1, keepdim=True)
        h = F.silu(torch.einsum("bi,eiw->bew", x, self.w1) + self.b1)
        each = (h * self.w2).sum(2) + self.b2
        balance = len(self.b2) * ((mask > 0).float().mean(0) / self.chosen * share.mean(0)).sum()
        return (mask * each).sum(1), balance


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    val_x, val_y = runs(1500, gen, 4)
    model = Experts()
    step = 0
    for modes, count in ((2, 300), (3, 300), (4, 900)):
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        rate = torch.optim.lr_scheduler.CyclicLR(
            optimizer, 5e-4, 4e-3, step_size_up=50, step_size_down=100, mode="triangular2", cycle_momentum=False
        )
        for _ in range(count):
            step += 1
            x, y = runs(96, gen, modes)
            guess, balance = model(x)
            loss = F.mse_loss(guess, y) + 0.005 * balance
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
            if step % 60 == 0:
                with torch.no_grad():
                    val_error = (model(val_x)[0] - val_y).square().mean().sqrt().item()
                print(f"step {step}  modes {modes}  loss {loss.item():.4f}  val_error {val_error:.4f}")


main()
