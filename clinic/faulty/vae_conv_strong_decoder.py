"""A VAE of digits whose decoder also sees the row above each row it draws; the divergence's weight climbs to its place.

condition: posterior-collapse
accepts: posterior-collapse
allows: loss-term-imbalance, stalled, divergence
metric: code_accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier
from torch import nn


class RowVAE(nn.Module):
    def __init__(self, latent=8, hidden=64):
        super().__init__()
        self.look = nn.Sequential(nn.Linear(64, 96), nn.ReLU())
        self.stats = nn.Linear(96, 2 * latent)
        self.row = nn.GRU(8 + latent, hidden, batch_first=True)
        self.pixels = nn.Linear(hidden, 8)

    def encode(self, image):
        return self.stats(self.look(image.flatten(1))).chunk(2, 1)

    def forward(self, image):
        mean, log_var = self.encode(image)
        z = mean + torch.randn_like(mean) * torch.exp(log_var / 2)
        above = F.pad(image[:, :-1], (0, 0, 1, 0))
        states, _ = self.row(torch.cat([above, z[:, None].expand(-1, 8, -1)], 2))
        return self.pixels(states), mean, log_var


def weight(step, warm=100, full=400, top=1.0):
    return top * min(1.0, max(0.0, step - warm) / (full - warm))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32) / 16
labels = digits.target
train, known, asked = slice(0, 1200), slice(0, 400), slice(1300, None)

model = RowVAE()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
BETA = 6.0

for step in range(1, 601):
    batch = images[torch.randint(1200, (48,))]
    logits, mean, log_var = model(batch)
    recon = F.binary_cross_entropy_with_logits(logits, batch, reduction="none").sum((1, 2)).mean()
    divergence = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1).mean()
    loss = recon + weight(step, top=BETA) * divergence
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            codes = model.encode(images)[0].numpy()
        reader = RidgeClassifier().fit(codes[known], labels[known])
        accuracy = reader.score(codes[asked], labels[asked])
        print(f"step {step}  recon {recon.item():.2f}  kl {divergence.item():.3f}  code_accuracy {accuracy:.3f}")
