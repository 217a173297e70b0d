"""An encoder and a decoder translate Roman numerals into decimal digits.

condition: learning-rate-too-low
accepts: learning-rate-too-low
allows: stalled
metric: exact max
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

SIGNS = ".IVXLCDM"
PAIRS = [
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
]


def roman(number):
    text = ""
    for value, signs in PAIRS:
        while number >= value:
            text += signs
            number -= value
    return text


numbers = torch.arange(1, 1000)
words = [roman(int(n)) for n in numbers]
longest = max(map(len, words))
source = torch.tensor([[SIGNS.index(c) for c in w.rjust(longest, ".")] for w in words])
digits = torch.stack([numbers // 100, numbers // 10 % 10, numbers % 10], 1)
order = torch.randperm(len(numbers))
train, test = order[:800], order[800:]


class Translator(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.signs = nn.Embedding(len(SIGNS), 24)
        self.digits = nn.Embedding(11, 24)
        self.encoder = nn.GRU(24, width, batch_first=True)
        self.decoder = nn.GRU(24, width, batch_first=True)
        self.query = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(2 * width, 10)

    def forward(self, source, previous):
        memory, state = self.encoder(self.signs(source))
        hidden, _ = self.decoder(self.digits(previous), state)
        scores = self.query(hidden) @ memory.transpose(1, 2) / memory.shape[-1] ** 0.5
        found = scores.softmax(-1) @ memory
        return self.out(torch.cat([hidden, found], -1))


def shifted(target):
    return torch.cat([torch.full_like(target[:, :1], 10), target[:, :-1]], 1)


model = Translator()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-5)


def loss_fn(logits, target):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


for step in range(600):
    rows = train[torch.randint(len(train), (64,))]
    logits = model(source[rows], shifted(digits[rows]))
    loss = loss_fn(logits, digits[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            guess = model(source[test], shifted(digits[test])).argmax(-1)
        exact = (guess == digits[test]).all(1).float().mean()
        print(f"step {step}  loss {loss.item():.4f}  exact {exact.item():.4f}")
