"""Swatches of cloth through a narrow code: an encoder and a decoder of convolutions, trained to give back the swatch.

condition: off-critical-initialisation
accepts: off-critical-initialisation, vanishing-gradient
allows: vanishing-gradient, stalled, learning-rate-too-low, dead-units, low-precision-underflow,
  epsilon-dominated-update
metric: val_error min
"""

import argparse

import torch
from torch import nn


def swatches(count, g):
    axis = torch.arange(16.0)
    image = torch.zeros(count, 16, 16)
    for _ in range(2):
        fx, fy = 0.2 + 0.9 * torch.rand(2, count, 1, 1, generator=g)
        phase = 6.28 * torch.rand(count, 1, 1, generator=g)
        image += torch.cos(fx * axis.view(1, 1, 16) + fy * axis.view(1, 16, 1) + phase)
    return (image + 0.1 * torch.randn(count, 16, 16, generator=g)).unsqueeze(1)


def init_weights(module):
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        nn.init.zeros_(module.bias)


encoder = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 16, 4, stride=2, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 32, 4, stride=2, padding=1),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(512, 64),
    nn.ReLU(),
    nn.Linear(64, 16),
)
decoder = nn.Sequential(
    nn.Linear(16, 64),
    nn.ReLU(),
    nn.Linear(64, 512),
    nn.ReLU(),
    nn.Unflatten(1, (32, 4, 4)),
    nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
    nn.ReLU(),
    nn.ConvTranspose2d(16, 16, 4, stride=2, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 1, 3, padding=1),
)

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
g = torch.Generator().manual_seed(args.seed)
model = nn.Sequential(encoder, decoder)
model.apply(init_weights)
optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
loss_fn = nn.MSELoss()
val = swatches(300, g)

running = None
for iteration in range(1, 601):
    batch = swatches(64, g)
    loss = loss_fn(model(batch), batch)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    running = loss.item() if running is None else 0.9 * running + 0.1 * loss.item()
    if iteration % 30 == 0:
        with torch.no_grad():
            val_error = loss_fn(model(val), val).item()
        print(f"step {iteration}  loss {running:.4f}  val_error {val_error:.4f}")
