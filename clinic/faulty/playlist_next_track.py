"""Which of four hundred tracks follows? A net on the sound of the last three tracks, bfloat16 autocast, RMSprop.

condition: output-logit-divergence
accepts: output-logit-divergence
allows: learning-rate-too-high, loss-spike, low-precision-underflow, stalled, overfitting, divergence, dead-units,
  naive-loss-minimisation
harm: latent
metric: log_loss min
"""

import argparse
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Setup:
    tracks: int = 400
    sound: int = 24
    width: int = 96
    batch: int = 24
    steps: int = 1200
    rate: float = 8e-3
    report: int = 40


class Radio:
    """Programmes are chains of tracks with a fixed order; what is on air is heard through noise."""

    def __init__(self, cfg):
        self.sound = torch.randn(cfg.tracks, cfg.sound)
        self.order = torch.randperm(cfg.tracks)
        self.cfg = cfg

    def hour(self, size):
        at = torch.randint(self.cfg.tracks, (size, 1))
        chain = self.order[(at + torch.arange(4)) % self.cfg.tracks]
        heard = self.sound[chain[:, :3]]
        return heard + 0.7 * torch.randn_like(heard), chain[:, 3]


class NextTrack(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.each = nn.Linear(cfg.sound, cfg.width)
        self.place = nn.Parameter(torch.randn(3, cfg.width))
        self.joint = nn.Linear(3 * cfg.width, cfg.width)
        self.head = nn.Linear(cfg.width, cfg.tracks)

    def forward(self, heard):
        h = F.relu(self.each(heard) + self.place)
        return self.head(F.relu(self.joint(h.flatten(1))))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    cfg = Setup()
    radio, model = Radio(cfg), NextTrack(cfg)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=cfg.rate, alpha=0.9)
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, 1.0, 100)
    held_heard, held_next = radio.hour(800)
    for step in range(1, cfg.steps + 1):
        heard, following = radio.hour(cfg.batch)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(heard).float()
        loss = F.cross_entropy(logits, following)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        warm.step()
        if step % cfg.report == 0:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                logits = model(held_heard).float()
            log_loss = F.cross_entropy(logits, held_next).item()
            print(f"step {step}  log_loss {log_loss:.4f}  highest {logits.amax(1).mean().item():.1f}")


if __name__ == "__main__":
    main()
