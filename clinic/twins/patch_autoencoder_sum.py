"""A convolutional autoencoder squeezes digits into twelve numbers; the squared error is summed over pixels and rows.

condition: healthy
metric: pixel_error min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


class Autoencoder(nn.Module):
    def __init__(self, code=12):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(16, 24, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(96, code),
        )
        self.decoder = nn.Sequential(
            nn.Linear(code, 96),
            nn.GELU(),
            nn.Unflatten(1, (24, 2, 2)),
            nn.ConvTranspose2d(24, 16, 4, stride=2, padding=1),
            nn.GELU(),
            nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),
        )

    def forward(self, x):
        return self.decoder(self.encoder(x))


def fit(model, images, held, epochs, lr, max_norm, generator):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    loss_fn = nn.MSELoss(reduction="sum")
    step = 0
    for _ in range(epochs):
        for rows in torch.randperm(len(images), generator=generator).split(64):
            step += 1
            loss = loss_fn(model(images[rows]), images[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            optimizer.step()
            if step % 12 == 0:
                with torch.no_grad():
                    error = (model(held) - held).square().mean().item()
                print(f"step {step}  loss {loss.item():.2f}  pixel_error {error:.5f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    digits = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 16
    digits = digits[torch.randperm(len(digits))]
    fit(
        Autoencoder(),
        digits[:1500],
        digits[1500:],
        epochs=14,
        lr=5e-5,
        max_norm=2000.0,
        generator=torch.Generator().manual_seed(seed),
    )
