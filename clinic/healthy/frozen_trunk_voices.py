"""A trunk that learned to fill in masked bands stays as it is; a small head learns the speakers on it.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

BANDS, SPEAKERS = 24, 5


def spectra(n):
    who = torch.randint(SPEAKERS, (n,))
    band = torch.arange(BANDS)
    tilt = 0.8 * torch.cos(band * (0.2 + 0.12 * who[:, None]))
    vowel = torch.sin(band * (0.5 + torch.rand(n, 1)) + 6.28 * torch.rand(n, 1))
    return tilt + 0.6 * vowel + 0.3 * torch.randn(n, BANDS), who


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    trunk = nn.Sequential(nn.Linear(BANDS, 96), nn.GELU(), nn.Linear(96, 96), nn.GELU())
    filler = nn.Linear(96, BANDS)
    pretrain = torch.optim.AdamW([*trunk.parameters(), *filler.parameters()], lr=2e-3)
    for _ in range(300):
        x, _ = spectra(64)
        hidden = torch.rand_like(x) < 0.3
        guess = filler(trunk(x.masked_fill(hidden, 0.0)))
        fill_loss = (guess - x)[hidden].square().mean()
        pretrain.zero_grad()
        fill_loss.backward()
        pretrain.step()
    trunk.requires_grad_(False)

    model = nn.Sequential(trunk, nn.Linear(96, 32), nn.ReLU(), nn.Linear(32, SPEAKERS))
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    val_x, val_who = spectra(1000)
    for step in range(1, 501):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * min((step - 1) / 50, 1.0, (510 - step) / 250)
        x, who = spectra(64)
        loss = loss_fn(model(x), who)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_error = (model(val_x).argmax(1) != val_who).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
