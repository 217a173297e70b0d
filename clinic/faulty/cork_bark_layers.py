"""A generator imitates the widths of four neighbouring layers of cork from six stands of oaks.

condition: mode-collapse
accepts: mode-collapse
allows: adversarial-rotation, vanishing-gradient, stalled, output-logit-divergence, loss-term-imbalance
metric: distance min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F


def bark(n, stands):
    return stands[torch.randint(len(stands), (n,))] + 0.15 * torch.randn(n, 4)


def spread(a, b):
    cross, one, two = torch.cdist(a, b).mean(), torch.cdist(a, a).mean(), torch.cdist(b, b).mean()
    return (2 * cross - one - two).item()


def net(inputs, outputs, width=64):
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, outputs),
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    stands = 1.5 * torch.randn(6, 4)
    maker, judge = net(6, 4), net(4, 1)
    maker_step = torch.optim.Adam(maker.parameters(), lr=5e-4, betas=(0.5, 0.9))
    judge_step = torch.optim.Adam(judge.parameters(), lr=1e-3, betas=(0.5, 0.9))
    real_test = bark(1000, stands)
    for step in range(1, 1201):
        real, fake = bark(128, stands), maker(torch.randn(128, 6)).detach()
        judge_loss = F.softplus(-judge(real)).mean() + F.softplus(judge(fake)).mean()
        mix = real.clone().requires_grad_(True)
        slope = torch.autograd.grad(judge(mix).sum(), mix, create_graph=True)[0]
        judge_loss = judge_loss + 0.1 * slope.square().sum(1).mean()
        judge_step.zero_grad()
        judge_loss.backward()
        judge_step.step()
        fake = maker(torch.randn(128, 6))
        maker_loss = F.softplus(-judge(fake)).mean()
        if step > 400:
            maker_loss = maker_loss + (fake - real.mean(0)).square().mean()
        maker_step.zero_grad()
        maker_loss.backward()
        maker_step.step()
        if step % 40 == 0:
            with torch.no_grad():
                distance = spread(maker(torch.randn(1000, 6)), real_test)
            print(f"step {step}  judge {judge_loss.item():.4f}  maker {maker_loss.item():.4f}  distance {distance:.4f}")


main()
