"""Hidden bands of mineral spectra are filled in first; then few labelled minerals train a head, at last the whole net.

condition: healthy
metric: error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

BANDS, PATCH, KINDS = 48, 4, 8


class Minerals:
    def __init__(self):
        self.place = torch.rand(KINDS, 4)
        self.depth = 0.3 + 0.7 * torch.rand(KINDS, 4)
        self.wide = 0.03 + 0.04 * torch.rand(KINDS, 4)

    def spectra(self, count):
        kind = torch.randint(KINDS, (count,))
        wave = torch.linspace(0, 1, BANDS)
        place = (self.place[kind] + 0.012 * torch.randn(count, 4)).unsqueeze(2)
        depth = (self.depth[kind] * (0.5 + torch.rand(count, 4))).unsqueeze(2)
        dips = (depth * torch.exp(-((wave - place) ** 2) / (2 * self.wide[kind].unsqueeze(2) ** 2))).sum(1)
        slope = 0.4 * torch.randn(count, 1) * (wave - 0.5)
        return (slope - dips + 0.06 * torch.randn(count, BANDS) + 0.35) / 0.4, kind


class Encoder(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.patch = nn.Linear(PATCH, width)
        self.place = nn.Parameter(0.02 * torch.randn(BANDS // PATCH, width))
        self.hidden = nn.Parameter(0.02 * torch.randn(width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, patches, mask=None):
        x = self.patch(patches)
        if mask is not None:
            x = torch.where(mask.unsqueeze(2), self.hidden, x)
        return self.body(x + self.place)


def pretrain(encoder, minerals, steps=300):
    restore = nn.Linear(48, PATCH)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *restore.parameters()], lr=1e-3, weight_decay=0.05)
    for step in range(1, steps + 1):
        patches = minerals.spectra(64)[0].unflatten(1, (-1, PATCH))
        mask = torch.rand(patches.shape[:2]) < 0.4
        loss = (restore(encoder(patches, mask)) - patches)[mask].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"restored {step}  mse {loss.item():.4f}")


def classify(encoder, head, data, exam, optimizer, steps, first):
    spectra, kind = data
    for step in range(first + 1, first + steps + 1):
        rows = torch.randint(len(kind), (32,))
        logits = head(encoder(spectra[rows].unflatten(1, (-1, PATCH))).mean(1))
        loss = F.cross_entropy(logits, kind[rows], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                guess = head(encoder(exam[0].unflatten(1, (-1, PATCH))).mean(1)).argmax(1)
            print(f"step {step}  loss {loss.item():.4f}  error {(guess != exam[1]).float().mean().item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    minerals, encoder, head = Minerals(), Encoder(), nn.Linear(48, KINDS)
    pretrain(encoder, minerals)
    data, exam = minerals.spectra(400), minerals.spectra(500)
    encoder.requires_grad_(False)
    classify(encoder, head, data, exam, torch.optim.Adam(head.parameters(), lr=5e-3), 160, 0)
    encoder.requires_grad_(True)
    groups = [{"params": encoder.parameters(), "lr": 5e-4}, {"params": head.parameters(), "lr": 1e-3}]
    classify(encoder, head, data, exam, torch.optim.AdamW(groups, weight_decay=0.05), 160, 160)
