"""Whose voice? Frames' statistics are pooled over time; mixed precision; later, more speakers join.

condition: amp-step-skipping
accepts: amp-step-skipping, non-finite
allows: non-finite, stalled, low-precision-overflow, low-precision-underflow, frozen-parameters
metric: val_error min
"""

import argparse

import torch
from torch import nn

FRAMES, BANDS, SPEAKERS = 30, 16, 6


def clips(n, speakers, quiet=0.0):
    """Each speaker has a timbre and a restlessness."""
    who = speakers[torch.randint(len(speakers), (n,))]
    bands = torch.arange(BANDS)
    timbre = torch.sin(bands * (0.5 + 0.25 * who[:, None]) + who[:, None])
    restless = 0.4 + 0.15 * who[:, None, None]
    frames = timbre.unsqueeze(1) + restless * torch.randn(n, FRAMES, BANDS) + 0.8 * torch.randn(n, 1, BANDS)
    silent = torch.rand(n) < quiet
    return torch.where(silent[:, None, None], torch.zeros(()), frames), who


class VoiceNet(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.frame = nn.Sequential(nn.Linear(BANDS, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, SPEAKERS))

    def forward(self, frames):
        h = self.frame(frames).float()
        mean = h.mean(1)
        spread = ((h - mean.unsqueeze(1)).square().mean(1)).sqrt()
        return self.head(torch.cat([mean, spread], 1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = VoiceNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    loss_fn = nn.CrossEntropyLoss()
    everyone = torch.arange(SPEAKERS)
    val_frames, val_who = clips(800, everyone)
    for step in range(1, 401):
        frames, who = clips(64, everyone[:3]) if step <= 150 else clips(64, everyone, quiet=0.08)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(frames)
        loss = loss_fn(logits.float(), who)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if step % 20 == 0:
            with torch.no_grad():
                val_error = (model(val_frames).argmax(1) != val_who).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
