"""Handwritten digits through six numbers: an autoencoder fitted by a quasi-Newton method.

condition: stalled
accepts: stalled, learning-rate-too-low
allows: learning-rate-too-low, unsafe-step, bad-batch
metric: val_error min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

images = torch.tensor(load_digits().data, dtype=torch.float32) / 16
images = images[torch.randperm(len(images))]
train, val = images[:1400], images[1400:]
centre = train.mean(0)

encoder = nn.Sequential(nn.Linear(64, 40), nn.Tanh(), nn.Linear(40, 6))
decoder = nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 64))
parameters = [*encoder.parameters(), *decoder.parameters()]
optimizer = torch.optim.LBFGS(parameters, lr=1.0, max_iter=6, history_size=20)


def error(x):
    return (decoder(encoder(x - centre)) + centre - x).square().sum(1).mean()


for step in range(1, 61):

    def closure():
        optimizer.zero_grad()
        loss = error(train[torch.randint(len(train), (100,))])
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    if step % 3 == 0:
        with torch.no_grad():
            print(f"step {step}  loss {loss.item():.4f}  val_error {error(val).item():.4f}")
