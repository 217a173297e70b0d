"""A decoder writes out numbers in English words, letter by letter.

condition: double-softmax
accepts: double-softmax
allows: stalled, learning-rate-too-low, vanishing-gradient
metric: val_loss min
"""

import argparse

import torch
from torch import nn

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
]
ONES += ["seventeen", "eighteen", "nineteen"]
TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz =."


def spell(n):
    if n >= 100:
        return ONES[n // 100] + " hundred" + (" " + spell(n % 100) if n % 100 else "")
    return ONES[n] if n < 20 else TENS[n // 10] + (" " + ONES[n % 10] if n % 10 else "")


class Speller(nn.Module):
    def __init__(self, length=34, width=48):
        super().__init__()
        self.embed = nn.Embedding(len(LETTERS), width)
        self.place = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, activation="gelu", batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(LETTERS))

    def forward(self, codes):
        length = codes.shape[1]
        h = self.embed(codes) + self.place(torch.arange(length))
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        for block in self.blocks:
            h = block(h, src_mask=mask, is_causal=True)
        return self.head(self.norm(h)).softmax(-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    lines = [f"{n}={spell(n)}".ljust(34, ".") for n in range(1000)]
    data = torch.tensor([[LETTERS.index(c) for c in line] for line in lines])[torch.randperm(1000)]
    train, val = data[:850], data[850:]
    model = Speller()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, 300, pct_start=0.1)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 301):
        rows = train[torch.randint(len(train), (32,))]
        loss = loss_fn(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 15 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val[:, :-1]).flatten(0, 1), val[:, 1:].flatten()).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
