"""Glyphs of an invented script from noisy scans, by a small vision Transformer with a warm-up and a decaying rate.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR
from torch.utils.data import DataLoader, Dataset

GLYPHS, SIDE, PATCH, WIDTH = 20, 12, 3, 48


class Scans(Dataset):
    def __init__(self, alphabet, count, seed):
        rng = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(GLYPHS, (count,), generator=rng)
        shift = torch.randint(-1, 2, (count, 2), generator=rng).tolist()
        clean = [torch.roll(alphabet[k], s, (0, 1)) for k, s in zip(self.labels, shift, strict=True)]
        self.images = torch.stack(clean) + 0.7 * torch.randn(count, SIDE, SIDE, generator=rng)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.images[i], self.labels[i]


class GlyphViT(nn.Module):
    def __init__(self, depth=2):
        super().__init__()
        self.patches = nn.Conv2d(1, WIDTH, PATCH, stride=PATCH)
        self.place = nn.Parameter(0.02 * torch.randn(1, (SIDE // PATCH) ** 2, WIDTH))
        layer = nn.TransformerEncoderLayer(
            WIDTH, 4, 2 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, GLYPHS)

    def forward(self, images):
        tokens = self.patches(images.unsqueeze(1)).flatten(2).transpose(1, 2) + self.place
        return self.head(self.encoder(tokens).mean(1))


def accuracy(model, scans):
    with torch.no_grad():
        return (model(scans.images).argmax(1) == scans.labels).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    alphabet = nn.functional.interpolate(torch.randn(GLYPHS, 1, 6, 6), SIDE).squeeze(1).sign()
    train, test = Scans(alphabet, 1280, seed), Scans(alphabet, 400, seed + 1000)
    loader = DataLoader(train, batch_size=64, shuffle=True, generator=torch.Generator().manual_seed(seed))
    model = GlyphViT()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    scheduler = SequentialLR(
        optimizer, [LinearLR(optimizer, 0.1, total_iters=3), ExponentialLR(optimizer, 0.85)], milestones=[3]
    )
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)
    for epoch in range(1, 17):
        for images, labels in loader:
            loss = loss_fn(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy(model, test):.4f}")


if __name__ == "__main__":
    main()
