"""A deep fully connected autoencoder that squeezes digits through eight numbers.

condition: vanishing-gradient
accepts: vanishing-gradient
allows: stalled, learning-rate-too-low
metric: mse min
"""

import argparse
import itertools

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

images = torch.tensor(load_digits().data, dtype=torch.float32) / 16


def stack(*sizes, activation=nn.Sigmoid):
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layer = nn.Linear(fan_in, fan_out)
        nn.init.xavier_normal_(layer.weight)
        layers += [layer, activation()]
    return layers[:-1]


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(*stack(64, 56, 48, 40, 32, 8))
        self.decoder = nn.Sequential(*stack(8, 32, 40, 48, 56, 64))

    def forward(self, x):
        return self.decoder(self.encoder(x))


model = Autoencoder()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
loss_fn = nn.MSELoss()

running = 0.0
for step in range(1, 601):
    x = images[torch.randint(len(images), (64,))]
    loss = loss_fn(model(x), x)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 20 == 0:
        print(f"step {step}  mse {running / 20:.5f}")
        running = 0.0
