"""A variational autoencoder learns to draw handwritten digits (1,797 images of 8 × 8 pixels, from scikit-learn).

python examples/vae.py                       # some ten seconds on one core
python examples/vae.py --kl-weight 30        # ruined: what the latent variables say costs more than it is worth
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

LATENT, BATCH = 8, 64


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
        self.mu, self.logvar = nn.Linear(128, LATENT), nn.Linear(128, LATENT)
        self.decoder = nn.Sequential(nn.Linear(LATENT, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
        self.pixels = nn.Linear(128, 64)

    def forward(self, x):
        hidden = self.encoder(x)
        mu, logvar = self.mu(hidden), self.logvar(hidden)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.pixels(self.decoder(z)), mu, logvar


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60, help="passes over the images (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--kl-weight", type=float, default=1.0, help="mistake: far above 1 the prior outweighs the images"
    )
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    images = torch.tensor(load_digits().images, dtype=torch.float32).flatten(1) / 16
    images = images[torch.randperm(len(images))]
    train, val = images[:1500], images[1500:]

    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

    def loss_on(x):
        logits, mu, logvar = model(x)
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        divergence = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum() / len(x)
        return reconstruction + args.kl_weight * divergence, divergence

    for epoch in range(1, args.epochs + 1):
        model.train()
        for batch in train[torch.randperm(len(train))].split(BATCH):
            loss, divergence = loss_on(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch == 1 or epoch % 5 == 0:
            print(f"epoch {epoch:3d}  loss {loss.item():.3f}  divergence {divergence.item():.3f} nats", flush=True)

    model.eval()
    with torch.no_grad():
        print(f"validation loss {loss_on(val)[0].item():.3f}")


if __name__ == "__main__":
    main()
