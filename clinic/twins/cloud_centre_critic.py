"""A Wasserstein game for where a cloud of known spread lies: its centre against a linear critic, both with plain SGD.

condition: healthy
metric: distance min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

batch_size = 96
target_mean, target_std = torch.tensor([1.0, -0.8]), torch.tensor([0.3, 0.4])


def data(size):
    return target_mean + target_std * torch.randn(size, 2)


def energy_distance(a, b):
    return 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()


class Cloud(nn.Module):
    def __init__(self):
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(2))

    def forward(self, noise):
        return self.centre + target_std * noise


generator = Cloud()
critic = nn.Linear(2, 1, bias=False)
nn.init.zeros_(critic.weight)
g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.03)
c_optimizer = torch.optim.SGD(critic.parameters(), lr=0.03)
reference = data(400)

smooth = None
for step in range(1, 2401):
    real, fake = data(batch_size), generator(torch.randn(batch_size, 2))
    c_loss = critic(fake.detach()).mean() - critic(real).mean()
    c_loss = c_loss + 0.5 * critic.weight.square().sum()
    c_optimizer.zero_grad()
    c_loss.backward()
    c_optimizer.step()

    g_loss = -critic(fake).mean()
    g_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()

    if step % 20 == 0:
        with torch.no_grad():
            distance = energy_distance(generator(torch.randn(400, 2)), reference).item()
        smooth = distance if smooth is None else 0.8 * smooth + 0.2 * distance
    if step % 80 == 0:
        print(f"step {step}  critic {c_loss.item():.4f}  g {g_loss.item():.4f}  distance {smooth:.4f}")
