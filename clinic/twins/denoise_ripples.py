"""A convolutional denoiser for pictures of ripples on water: two or three sources, a lot of camera noise.

condition: healthy
metric: psnr max
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

SIDE = 16


class Ripples(IterableDataset):
    """Batches of pictures, clean and noisy, without end."""

    def __init__(self, generator, batch, noise=0.5):
        self.generator, self.batch, self.noise = generator, batch, noise
        axis = torch.linspace(-1, 1, SIDE)
        self.y, self.x = torch.meshgrid(axis, axis, indexing="ij")

    def __iter__(self):
        while True:
            cx, cy, f = torch.rand(3, self.batch, 3, 1, 1, generator=self.generator)
            r = ((self.x - 2 * cx + 1) ** 2 + (self.y - 2 * cy + 1) ** 2).sqrt()
            waves = 0.6 * torch.cos((6 + 6 * f) * r)
            waves[: self.batch // 2, 2] = 0
            clean = waves.sum(1, keepdim=True)
            yield {"noisy": clean + self.noise * torch.randn(clean.shape, generator=self.generator), "clean": clean}


class Denoiser(nn.Module):
    def __init__(self, channels=16):
        super().__init__()
        self.down = nn.Conv2d(1, channels, 4, stride=2, padding=1)
        self.middle = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.up = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1)
        self.out = nn.Conv2d(channels + 1, 1, 3, padding=1)

    def forward(self, noisy):
        h = self.down(noisy)
        h = h + self.middle(h)
        return self.out(torch.cat([self.up(h), noisy], 1))


def psnr(model, batch):
    model.eval()
    with torch.no_grad():
        error = (model(batch["noisy"]) - batch["clean"]).pow(2).mean()
    model.train()
    return 10 * torch.log10(4 / error).item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    loader = iter(DataLoader(Ripples(torch.Generator().manual_seed(seed), 24), batch_size=None))
    model = Denoiser()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.MSELoss()
    held = next(loader)
    for step in range(1, 331):
        batch = next(loader)
        loss = loss_fn(model(batch["noisy"]), batch["clean"])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 11 == 0:
            print(f"step {step}  loss {loss.item():.4f}  psnr {psnr(model, held):.3f}")


if __name__ == "__main__":
    main()
