"""A convolutional autoencoder takes the noise out of digits; Huber loss, RMSprop with momentum.

condition: healthy
metric: loss min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

images = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 16

model = nn.Sequential(
    nn.Conv2d(1, 16, 3, stride=2, padding=1),
    nn.LeakyReLU(0.1),
    nn.Conv2d(16, 32, 3, stride=2, padding=1),
    nn.LeakyReLU(0.1),
    nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
    nn.LeakyReLU(0.1),
    nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),
    nn.Sigmoid(),
)
optimizer = torch.optim.RMSprop(model.parameters(), lr=5e-4, momentum=0.5)
loss_fn = nn.HuberLoss(delta=0.3)

running = 0.0
for step in range(1, 401):
    clean = images[torch.randint(len(images), (64,))]
    noisy = clean + 0.3 * torch.randn_like(clean)
    loss = loss_fn(model(noisy), clean)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 10 == 0:
        print(f"step {step}  loss {running / 10:.5f}")
        running = 0.0
