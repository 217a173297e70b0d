"""Which frames of a noisy recording are voiced? A gated diagonal state-space tagger.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

FRAMES, BANDS = 40, 12


def recordings(n):
    """Voice comes and goes; its bands rise together, the noise's do not."""
    start = torch.randint(0, 25, (n, 1))
    length = torch.randint(6, 15, (n, 1))
    t = torch.arange(FRAMES)
    voiced = ((t >= start) & (t < start + length)).float()
    formants = torch.sin(torch.arange(BANDS) * (0.4 + 0.6 * torch.rand(n, 1)) + 6.28 * torch.rand(n, 1))
    frames = voiced.unsqueeze(2) * formants.unsqueeze(1) + 0.9 * torch.randn(n, FRAMES, BANDS)
    return frames, voiced


class GatedScan(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gate, self.value = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        keep, value = torch.sigmoid(self.gate(x) + 1), self.value(x)
        h, out = torch.zeros_like(value[:, 0]), []
        for k, v in zip(keep.unbind(1), value.unbind(1)):
            h = k * h + (1 - k) * v
            out.append(h)
        return torch.stack(out, 1)


class Tagger(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.inlet = nn.Sequential(nn.Linear(BANDS, width), nn.SiLU())
        self.forth, self.back = GatedScan(width), GatedScan(width)
        self.head = nn.Sequential(nn.Linear(3 * width, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, frames):
        h = self.inlet(frames)
        return self.head(torch.cat([h, self.forth(h), self.back(h.flip(1)).flip(1)], 2)).squeeze(2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model, loss_fn = Tagger(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    val_frames, val_voiced = recordings(400)
    for step in range(1, 301):
        for group in optimizer.param_groups:
            group["lr"] = 0.3 * min(1, step / 20, (320 - step) / 150)
        frames, voiced = recordings(32)
        loss = loss_fn(model(frames), voiced)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                val_error = ((model(val_frames) > 0) != val_voiced.bool()).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
