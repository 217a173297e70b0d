"""A masked autoencoder: a transformer sees a quarter of a digit's patches and paints the rest.

condition: healthy
metric: painted min
"""

import argparse
from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from torch import nn


@dataclass
class Config:
    dim: int = 64
    depth: int = 2
    keep: int = 8
    base_lr: float = 3.2e-2
    batch_size: int = 12
    warmup: int = 40
    steps: int = 300

    @property
    def lr(self):
        return self.base_lr * self.batch_size / 256


class MaskedAutoencoder(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.keep = cfg.keep
        self.patch = nn.Linear(4, cfg.dim)
        self.place = nn.Parameter(torch.zeros(16, cfg.dim).normal_(std=0.02))
        self.hole = nn.Parameter(torch.zeros(cfg.dim).normal_(std=0.02))

        def stack(depth):
            layer = nn.TransformerEncoderLayer(cfg.dim, 4, 2 * cfg.dim, 0.0, batch_first=True, norm_first=True)
            return nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(cfg.dim), enable_nested_tensor=False)

        self.encoder, self.decoder = stack(cfg.depth), stack(1)
        self.pixels = nn.Linear(cfg.dim, 4)

    def forward(self, patches, order):
        n = len(patches)
        seen = order[:, : self.keep]
        tokens = self.patch(patches) + self.place
        index = seen[:, :, None].expand(-1, -1, tokens.shape[-1])
        codes = self.encoder(tokens.gather(1, index))
        canvas = (self.hole + self.place).expand(n, -1, -1).scatter(1, index, codes)
        return self.pixels(self.decoder(canvas + self.place))


def patchify(images):
    return images.reshape(-1, 4, 2, 4, 2).transpose(2, 3).reshape(-1, 16, 4)


def painted_error(model, patches, order):
    hidden = order[:, model.keep :, None].expand(-1, -1, 4)
    return (model(patches, order) - patches).gather(1, hidden).pow(2).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    cfg = Config()
    images = torch.as_tensor(load_digits().images, dtype=torch.float32) / 16
    patches = patchify((images - images.mean()) / images.std())
    patches = patches[torch.randperm(len(patches))]
    train, test = patches[:1500], patches[1500:]
    test_order = torch.rand(len(test), 16).argsort(1)
    model = MaskedAutoencoder(cfg)
    optimizer = torch.optim.AdamW(model.parameters(), lr=cfg.lr, betas=(0.9, 0.95), weight_decay=0.05)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / cfg.warmup))
    for step in range(1, cfg.steps + 1):
        rows = torch.randint(len(train), (cfg.batch_size,))
        loss = painted_error(model, train[rows], torch.rand(cfg.batch_size, 16).argsort(1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 20 == 0:
            with torch.no_grad():
                painted = painted_error(model, test, test_order).item()
            print(f"step {step}  loss {loss.item():.4f}  painted {painted:.4f}")


if __name__ == "__main__":
    main()
