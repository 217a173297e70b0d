"""The next character of Python's reference pages, guessed by a mixer over the last dozen.

condition: healthy
metric: nll min
"""

import argparse
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn

CONTEXT, WIDTH = 12, 32


class Mix(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.over_time = nn.Sequential(nn.Linear(CONTEXT, 32), nn.GELU(), nn.Linear(32, CONTEXT))
        self.over_width = nn.Sequential(nn.Linear(WIDTH, 64), nn.GELU(), nn.Linear(64, WIDTH))

    def forward(self, x):
        x = x + self.over_time(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.over_width(self.norm2(x))


class CharMixer(nn.Module):
    def __init__(self, letters):
        super().__init__()
        self.embed = nn.Embedding(letters, WIDTH)
        self.mix = nn.Sequential(Mix(), Mix())
        self.out = nn.Sequential(nn.LayerNorm(CONTEXT * WIDTH), nn.Linear(CONTEXT * WIDTH, letters))

    def forward(self, x):
        return self.out(self.mix(self.embed(x)).flatten(1))


def objective(logits, target, z_weight=2.6e-3):
    """Cross-entropy with the z-term of PaLM."""
    log_z = logits.logsumexp(-1)
    picked = logits.gather(1, target[:, None]).squeeze(1)
    return (log_z - picked).mean() + z_weight * log_z.square().mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    text = "".join(topics[name] for name in sorted(topics))[:300_000]
    letters = sorted(set(text))
    codes = torch.tensor([letters.index(c) for c in text])
    split = int(0.9 * len(codes))

    def windows(low, high, count):
        at = torch.randint(low, high - CONTEXT - 1, (count,))
        return codes[at[:, None] + torch.arange(CONTEXT)], codes[at + CONTEXT]

    model = CharMixer(len(letters))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    seen, follows = windows(split, len(codes), 1000)
    for step in range(1, 901):
        x, y = windows(0, split, 64)
        loss = objective(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                nll = F.cross_entropy(model(seen), follows).item()
            print(f"step {step}  loss {loss.item():.4f}  nll {nll:.4f}")


if __name__ == "__main__":
    main()
