"""A kicker and a keeper learn their mixed strategies for penalties; what a corner is worth hangs on who shoots.

condition: healthy
metric: exploit min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--calm", type=float, default=0.95, help="what is left of the entropy bonus after ten steps")
parser.add_argument("--floor", type=float, default=0.08, help="least entropy bonus")
args = parser.parse_args()
torch.manual_seed(args.seed)

STEPS = 1000


def goals(shot):
    """Chance of a goal for each corner aimed at (rows) and each corner dived to (columns)."""
    foot, tired, wind = shot[:, 0], shot[:, 1], shot[:, 2]
    aim = torch.stack([0.90 + 0.06 * foot, 0.80 - 0.1 * tired, 0.90 - 0.06 * foot + 0.04 * wind], 1)
    saved = torch.stack([0.55 + 0.1 * tired, 0.60 + 0.1 * wind, 0.55 - 0.1 * tired], 1)
    return aim[:, :, None] - torch.diag_embed(saved)


def player(width=32):
    return nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 3))


def play(shot):
    aims, dives = kicker(shot).log_softmax(1), keeper(shot).log_softmax(1)
    table = goals(shot)
    scored = (aims.exp()[:, :, None] * table * dives.exp()[:, None]).sum((1, 2))
    return aims, dives, table, scored


def entropy(logs):
    return -(logs.exp() * logs).sum(1)


kicker, keeper = player(), player()
kicker_optimizer = torch.optim.SGD(kicker.parameters(), lr=0.3, momentum=0.5)
keeper_optimizer = torch.optim.SGD(keeper.parameters(), lr=0.3, momentum=0.5)
test = 2 * torch.rand(200, 3) - 1
bonus = 0.3

for step in range(STEPS):
    shot = 2 * torch.rand(64, 3) - 1
    aims, dives, table, scored = play(shot)
    kicker_loss = -(scored + bonus * entropy(aims)).mean()
    keeper_loss = (scored - bonus * entropy(dives)).mean()
    for optimizer, loss, net in ((kicker_optimizer, kicker_loss, kicker), (keeper_optimizer, keeper_loss, keeper)):
        gradients = torch.autograd.grad(loss, net.parameters(), retain_graph=True)
        for p, g in zip(net.parameters(), gradients):
            p.grad = g
    kicker_optimizer.step()
    keeper_optimizer.step()
    if step % 10 == 0:
        bonus = max(args.floor, bonus * args.calm)
    if step % 20 == 0:
        with torch.no_grad():
            aims, dives, table, scored = play(test)
            best_kick = (table @ dives.exp()[:, :, None]).squeeze(2).amax(1)
            best_dive = (aims.exp()[:, None] @ table).squeeze(1).amin(1)
            exploit = (best_kick - best_dive).mean()
        print(
            f"step {step}  scored {scored.mean().item():.4f}  exploit {exploit.item():.4f}  bonus {bonus:.3f}"
            f"  left {aims.exp()[:, 0].mean().item():.3f}"
        )
