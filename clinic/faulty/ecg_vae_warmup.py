"""A VAE of heartbeats, 40 samples a beat; the weight of the divergence is warmed up over the first forty steps.

condition: posterior-collapse
accepts: posterior-collapse
metric: beat_error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


def heartbeats(count):
    t = torch.linspace(0, 1, 40)
    waves = torch.zeros(count, 40)
    for centre, width, height in ((0.2, 0.05, 0.25), (0.42, 0.02, 1.2), (0.47, 0.025, -0.5), (0.7, 0.08, 0.4)):
        c = centre + 0.03 * torch.randn(count, 1)
        h = height * (1 + 0.35 * torch.randn(count, 1))
        waves += h * torch.exp(-(t - c).square() / (2 * width**2))
    return waves + 0.03 * torch.randn(count, 40)


class BeatVAE(nn.Module):
    def __init__(self, latent=6):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Unflatten(1, (1, 40)), nn.Conv1d(1, 12, 5, stride=2, padding=2), nn.ELU(), nn.Flatten()
        )
        self.mu = nn.Linear(240, latent)
        self.log_var = nn.Linear(240, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, 96), nn.ELU(), nn.Linear(96, 40))

    def forward(self, beat):
        h = self.encoder(beat)
        mu, log_var = self.mu(h), self.log_var(h)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        return self.decoder(z), mu, log_var


def kl_weight(step, warmup=40, top=0.1):
    return top * step / warmup


train, val = heartbeats(3000), heartbeats(300)
model = BeatVAE()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

for step in range(1, 901):
    beat = train[torch.randint(len(train), (64,))]
    drawn, mu, log_var = model(beat)
    reconstruction = F.mse_loss(drawn, beat, reduction="none").sum(1).mean()
    divergence = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(1).mean()
    loss = reconstruction + kl_weight(step) * divergence
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 25 == 0:
        with torch.no_grad():
            error = (model.decoder(model.mu(model.encoder(val))) - val).square().sum(1).mean().item()
        print(f"step {step}  loss {loss.item():.4f}  kl {divergence.item():.3f}  beat_error {error:.4f}")
