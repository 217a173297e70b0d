"""A sequence VAE: one vector has to hold where a zigzag starts and its slope; the decoder sees the last value.

condition: healthy
metric: reconstruction min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

length, latent, hidden = 12, 4, 24


def zigzags(size):
    start, slope = 0.4 * torch.randn(size, 1), 0.3 * torch.randn(size, 1)
    sign = 1 - 2 * (torch.arange(length) % 4 // 2)
    return start + (slope * sign).cumsum(1) + 0.1 * torch.randn(size, length)


class SequenceVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.GRU(1, hidden, batch_first=True)
        self.mu, self.logvar = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.start = nn.Linear(latent, hidden)
        self.decoder = nn.GRU(1, hidden, batch_first=True)
        self.output = nn.Linear(hidden, 1)

    def forward(self, x):
        _, summary = self.encoder(x.unsqueeze(2))
        mu, logvar = self.mu(summary[0]), self.logvar(summary[0])
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        before = torch.cat([torch.zeros(len(x), 1), x[:, :-1]], dim=1)
        states, _ = self.decoder(before.unsqueeze(2), self.start(z).unsqueeze(0))
        return self.output(states).squeeze(2), mu, logvar


model = SequenceVAE()
optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
beta = 0.02

running = 0.0
for step in range(1, 751):
    x = zigzags(64)
    output, mu, logvar = model(x)
    reconstruction = (output - x).square().sum(1).mean()
    divergence = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean()
    loss = reconstruction + beta * divergence
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    running += reconstruction.item()
    if step % 25 == 0:
        print(f"step {step}  kl {divergence.item():.4f}  reconstruction {running / 25:.4f}")
        running = 0.0
