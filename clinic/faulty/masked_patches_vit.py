"""A vision Transformer fills in digits of which four patches in ten are hidden.

condition: rank-collapse
accepts: rank-collapse
allows: stalled, vanishing-gradient
metric: patch_error min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attend = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):
        x = self.norm1(self.attend(x, x, x, need_weights=False)[0])
        return self.norm2(self.mlp(x))


class MaskedViT(nn.Module):
    def __init__(self, width=32, depth=8, heads=4):
        super().__init__()
        self.embed = nn.Linear(4, width)
        self.hidden_patch = nn.Parameter(0.1 * torch.randn(width))
        self.position = nn.Parameter(0.3 * torch.randn(16, width))
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(depth)])
        self.pixels = nn.Linear(width, 4)

    def forward(self, patches, hidden):
        x = torch.where(hidden[..., None], self.hidden_patch, self.embed(patches)) + self.position
        for block in self.blocks:
            x = block(x)
        return self.pixels(x)


def patchify(images):
    return images.unfold(1, 2, 2).unfold(2, 2, 2).reshape(len(images), 16, 4)


def hide(count):
    return torch.rand(count, 16).argsort(1) < 6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    images = torch.tensor(load_digits().images, dtype=torch.float32)
    patches = patchify((images - images.mean()) / images.std())
    patches = patches[torch.randperm(len(patches))]
    held, patches = patches[:120], patches[120:]
    held_hidden = hide(len(held))

    model = MaskedViT()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.05, 1.0, 40)
    for step in range(1, 261):
        x = patches[torch.randint(len(patches), (24,))]
        hidden = hide(len(x))
        loss = (model(x, hidden) - x)[hidden].pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        warmup.step()
        if step % 10 == 0:
            with torch.no_grad():
                error = (model(held, held_hidden) - held)[held_hidden].pow(2).mean().item()
            print(f"step {step}  loss {loss.item():.4f}  patch_error {error:.4f}")


if __name__ == "__main__":
    main()
