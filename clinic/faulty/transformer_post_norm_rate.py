"""Roman numerals to Arabic ones: a post-norm encoder names the hundreds, tens and ones of a numeral; Adam.

condition: learning-rate-too-high
accepts: learning-rate-too-high, unsafe-step
allows: stalled, loss-spike, dead-units, rank-collapse, attention-logit-growth, divergence, vanishing-gradient,
  saturated-units, epsilon-dominated-update
metric: val_loss min
"""

import argparse

import torch
from torch import nn

SIGNS = "-IVXLCDM"


def roman(n):
    out = ""
    for value, sign in [
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ]:
        while n >= value:
            out, n = out + sign, n - value
    return out


def table(numbers, length=12):
    words = torch.tensor([[SIGNS.index(c) for c in roman(n).ljust(length, "-")] for n in numbers])
    n = torch.tensor(numbers)
    return words, torch.stack([n // 100, n // 10 % 10, n % 10], 1)


class Numerals(nn.Module):
    def __init__(self, width=48, length=12):
        super().__init__()
        self.sign = nn.Embedding(len(SIGNS), width)
        self.place = nn.Parameter(torch.randn(length, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.digits = nn.Linear(width * length, 30)

    def forward(self, words):
        x = self.encoder(self.sign(words) + self.place)
        return self.digits(x.flatten(1)).unflatten(1, (3, 10))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

words, digits = table(list(range(1, 400)))
order = torch.randperm(399)
train, val = order[:330], order[330:]
model = Numerals()
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1.2e-2)

for step in range(1, 251):
    rows = train[torch.randint(len(train), (40,))]
    logits = model(words[rows])
    loss = loss_fn(logits.flatten(0, 1), digits[rows].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(words[val]).flatten(0, 1), digits[val].flatten()).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
