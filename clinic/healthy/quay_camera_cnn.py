"""Kinds of boats before a quay's camera: a frozen random front, a head in warm-up; later all, by tiny rates.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn

SIDE, KINDS = 14, 7


def boats(count, rng, fog):
    """A hull and a mast whose places tell the kind; an eighth of the labels were typed wrong."""
    kind = torch.randint(0, KINDS, (count,), generator=rng)
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    shift = torch.randint(-1, 2, (count, 1, 1), generator=rng)
    hull = (rows == 10) & ((columns - 7 - shift).abs() < (2 + kind % 4)[:, None, None])
    mast = (columns == (5 + (kind * 3) % 6)[:, None, None] + shift) & (rows > (2 + kind)[:, None, None]) & (rows < 11)
    picture = (hull.float() + mast.float()) * (1 - fog) * 2.5
    picture = picture + 0.5 * torch.randn(picture.shape, generator=rng)
    wrong = torch.rand(count, generator=rng) < 0.12
    typed = torch.where(wrong, torch.randint(0, KINDS, (count,), generator=rng), kind)
    return picture.unsqueeze(1), typed, kind


class BoatNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.GELU(), nn.Conv2d(16, 24, 3, 2, padding=1), nn.GELU()
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(24 * 49, 64), nn.GELU(), nn.Linear(64, KINDS))

    def forward(self, x):
        return self.head(self.front(x))


def stage(model, params, steps, rate, fog, rng, done):
    optimizer = torch.optim.AdamW(params, lr=rate, weight_decay=0.02)
    warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(s / 40, 1.0) * (1.02 - s / steps))
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.05)
    exam = boats(700, rng, fog)
    for step in range(1, steps + 1):
        picture, typed, _ = boats(48, rng, fog)
        loss = loss_fn(model(picture), typed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        warm.step()
        if step % 20 == 0:
            with torch.no_grad():
                accuracy = (model(exam[0]).argmax(1) == exam[2]).float().mean().item()
            print(f"step {done + step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    model = BoatNet()
    model.front.requires_grad_(False)
    stage(model, model.head.parameters(), 260, 1e-3, 0.0, rng, 0)
    model.front.requires_grad_(True)
    stage(model, model.parameters(), 240, 4e-4, 0.4, rng, 260)


main()
