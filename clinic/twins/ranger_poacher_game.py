"""Rangers choose which water hole to watch and poachers which to visit, each by a network that sees the season.

condition: healthy
metric: exploitability min
"""

import argparse
import math

import torch
from torch import nn

HOLES = 5


def policy():
    return nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, HOLES))


def stakes(season):
    """What a poacher gains at each hole, by the time of the year."""
    return 0.9 + 0.4 * torch.sin(season + 1.3 * torch.arange(HOLES)) + 0.2 * torch.cos(2 * season)


def view(season):
    return torch.cat([torch.sin(season), torch.cos(season), torch.cos(2 * season)], 1)


def catch(watch, visit, stake):
    """The poacher's expected gain: the stake where nobody watches, a fine where he is met."""
    return (visit * stake * (1 - 2.2 * watch)).sum(1)


@torch.no_grad()
def exploitability(ranger, poacher, season):
    watch, visit = ranger(view(season)).softmax(1), poacher(view(season)).softmax(1)
    stake = stakes(season)
    best_visit = (stake * (1 - 2.2 * watch)).max(1).values
    best_watch = (visit * stake).sum(1) - 2.2 * (visit * stake).max(1).values
    return (best_visit - best_watch).mean().item()


def curiosity(step):
    return 0.25 * max(0.5, 1 - step / 900)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
ranger, poacher = policy(), policy()
ranger_opt = torch.optim.SGD(ranger.parameters(), lr=0.1, momentum=0.8)
poacher_opt = torch.optim.SGD(poacher.parameters(), lr=0.1, momentum=0.8)
year = torch.linspace(0, 2 * math.pi, 200).unsqueeze(1)

for step in range(1, 2001):
    season = 2 * math.pi * torch.rand(64, 1)
    watch_log, visit_log = ranger(view(season)).log_softmax(1), poacher(view(season)).log_softmax(1)
    watch, visit = watch_log.exp(), visit_log.exp()
    gain = catch(watch, visit, stakes(season)).mean()
    spread_r = -(watch * watch_log).sum(1).mean()
    spread_p = -(visit * visit_log).sum(1).mean()
    ranger_loss = gain - curiosity(step) * spread_r
    poacher_loss = -gain - curiosity(step) * spread_p
    ranger_grad = torch.autograd.grad(ranger_loss, list(ranger.parameters()), retain_graph=True)
    poacher_grad = torch.autograd.grad(poacher_loss, list(poacher.parameters()))
    for net, grads, opt in ((ranger, ranger_grad, ranger_opt), (poacher, poacher_grad, poacher_opt)):
        for p, g in zip(net.parameters(), grads):
            p.grad = g
        opt.step()
    if step % 50 == 0:
        print(f"step {step}  gain {gain.item():.4f}  exploitability {exploitability(ranger, poacher, year):.4f}")
