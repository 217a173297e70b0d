"""A GRU computes the parity of a bit string; the strings get longer in four stages, and the loss jumps at each.

condition: healthy
metric: longest max
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


def get_batch(length, size=64):
    bits = torch.randint(2, (size, length))
    return bits, (bits.cumsum(1) % 2).float()


class Parity(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.embedding = nn.Embedding(2, 8)
        self.rnn = nn.GRU(8, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, bits):
        return self.head(self.rnn(self.embedding(bits))[0]).squeeze(2)


model = Parity()
optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
loss_fn = nn.BCEWithLogitsLoss()

step = 0
for length in (2, 4, 8, 16):
    for _ in range(100):
        bits, parity = get_batch(length)
        loss = loss_fn(model(bits), parity)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 10 == 0:
            with torch.no_grad():
                bits, parity = get_batch(16, 200)
                longest = ((model(bits) > 0).float() == parity).float().mean().item()
            print(f"step {step}  length {length}  loss {loss.item():.4f}  longest {longest:.3f}")
