"""Where do walkers go after a crossing? A conditional VAE draws the next eight positions, given the last six.

condition: healthy
metric: path_error min
"""

import argparse

import torch
from torch import nn


def walks(count):
    """Six positions up to the kerb and eight after it: left, straight on or right, some of them slowing down."""
    speed = 0.25 + 0.1 * torch.rand(count, 1)
    drift = 0.15 * torch.randn(count, 1)
    turn = torch.tensor([-1.1, 0.0, 1.1])[torch.randint(3, (count, 1))] + 0.15 * torch.randn(count, 1)
    slow = torch.where(torch.rand(count, 1) < 0.3, 0.35, 1.0)
    before = torch.arange(-6, 0) + 1.0
    past = torch.stack([drift * speed * before, speed * before], 2)
    after = torch.arange(1, 9).float()
    angle = turn * (1 - torch.exp(-after / 2))
    pace = speed * (slow + (1 - slow) * torch.exp(-after / 2))
    step = torch.stack([pace * torch.sin(angle + drift), pace * torch.cos(angle + drift)], 2)
    future = step.cumsum(1)
    return past + 0.02 * torch.randn_like(past), future + 0.04 * torch.randn_like(future)


class PathVAE(nn.Module):
    def __init__(self, latent=4, width=96):
        super().__init__()
        self.past = nn.Sequential(nn.Flatten(), nn.Linear(12, width), nn.SiLU())
        self.future = nn.Sequential(nn.Flatten(), nn.Linear(16, width), nn.SiLU())
        self.posterior = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 2 * latent))
        self.decoder = nn.Sequential(
            nn.Linear(width + latent, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 16)
        )

    def forward(self, past, future):
        seen = self.past(past)
        mean, log_var = self.posterior(torch.cat([seen, self.future(future)], 1)).chunk(2, 1)
        z = mean + (log_var / 2).exp() * torch.randn_like(mean)
        drawn = self.decoder(torch.cat([seen, z], 1)).view(-1, 8, 2)
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()
        return drawn, kl


def reconstruction(drawn, future):
    return (drawn - future).square().sum((1, 2)).mean() / (2 * 0.1**2)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = PathVAE()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
past_exam, future_exam = walks(1000)
steps = 900
for step in range(1, steps + 1):
    beta = min(1.0, step / 500)
    past, future = walks(128)
    drawn, kl = model(past, future)
    loss = reconstruction(drawn, future) + beta * kl
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 30 == 0:
        with torch.no_grad():
            drawn, _ = model(past_exam, future_exam)
            error = (drawn - future_exam).norm(dim=2).mean().item()
        print(f"step {step}  loss {loss.item():.4f}  kl {kl.item():.3f}  path_error {error:.4f}")
