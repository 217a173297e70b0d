"""Ripples on a pond, from small pictures, in a convolutional VAE whose second term is blended in after some epochs.

condition: posterior-collapse
accepts: posterior-collapse, loss-term-imbalance
allows: divergence, stalled, loss-spike
metric: error min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader

SIDE, LATENT, EPOCHS = 16, 6, 24


def ponds(count):
    """One stone falls somewhere; rings of some length and age run out from there."""
    axis = torch.linspace(-1, 1, SIDE)
    place = 1.2 * torch.rand(2, count, 1, 1) - 0.6
    away = ((axis.view(1, 1, -1) - place[0]) ** 2 + (axis.view(1, -1, 1) - place[1]) ** 2).sqrt()
    length = 0.5 + 0.4 * torch.rand(count, 1, 1)
    age = 0.4 + 0.5 * torch.rand(count, 1, 1)
    height = torch.cos(6.2832 * (away - age) / length) * torch.exp(-(((away - age) / 0.45) ** 2))
    return (1.5 * height + 0.1 * torch.randn(count, SIDE, SIDE)).unsqueeze(1)


class PondVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(1, 16, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(16, 32, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(512, 2 * LATENT),
        )
        self.decode = nn.Sequential(
            nn.Linear(LATENT, 512),
            nn.SiLU(),
            nn.Unflatten(1, (32, 4, 4)),
            nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),
        )

    def forward(self, picture):
        mean, log_var = self.encode(picture).chunk(2, 1)
        latent = mean + torch.randn_like(mean) * (0.5 * log_var).exp() if self.training else mean
        return self.decode(latent), mean, log_var


def kl_weight(epoch):
    return min(1.0, max(0.0, (epoch - 6) / 10))


def negative_elbo(model, picture, weight):
    again, mean, log_var = model(picture)
    rebuilt = (again - picture).square().mean()
    kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()
    return rebuilt + weight * kl


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    loader = DataLoader(ponds(2000), batch_size=50, shuffle=True)
    held = ponds(500)
    model = PondVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.5e-3)
    for epoch in range(1, EPOCHS + 1):
        model.train()
        for picture in loader:
            loss = negative_elbo(model, picture, kl_weight(epoch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            error = (model(held)[0] - held).square().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  error {error:.4f}")


if __name__ == "__main__":
    main()
