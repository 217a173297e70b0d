"""A causal attention layer continues counting sequences of different lengths; short ones are padded on the left.

condition: amp-step-skipping
accepts: amp-step-skipping, non-finite
allows: non-finite, frozen-parameters
metric: loss min
"""

import argparse
import math

import torch
from torch import nn

LENGTH, KINDS, WIDTH, PAD = 12, 20, 48, 0


def sequences(size):
    """Numbers that go up by 1, 2 or 3 at a time, modulo the kinds, right-aligned behind padding."""
    start, stride = torch.randint(1, KINDS, (size, 1)), torch.randint(1, 4, (size, 1))
    tokens = 1 + (start + stride * torch.arange(LENGTH + 1)) % (KINDS - 1)
    padding = torch.randint(0, LENGTH - 3, (size, 1))
    tokens[torch.arange(LENGTH + 1) < padding] = PAD
    return tokens[:, :-1], tokens[:, 1:].masked_fill(tokens[:, :-1] == PAD, -100)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Embedding(KINDS, WIDTH)
        self.position = nn.Embedding(LENGTH, WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 96), nn.GELU(), nn.Linear(96, WIDTH))
        self.head = nn.Linear(WIDTH, KINDS)

    def forward(self, tokens):
        x = self.token(tokens) + self.position.weight
        q, k, v = self.query(x), self.key(x), self.value(x)
        scores = (q @ k.transpose(1, 2)).float() / math.sqrt(WIDTH)
        future = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
        hidden = future | (tokens == PAD)[:, None, :]
        x = x + scores.masked_fill(hidden, -math.inf).softmax(-1) @ v.float()
        return self.head(x + self.mlp(x))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = Decoder()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
loss_fn = nn.CrossEntropyLoss()
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14)

for step in range(1, 301):
    tokens, target = sequences(32)
    with torch.autocast("cpu", torch.float16):
        logits = model(tokens)
    loss = loss_fn(logits.float().flatten(0, 1), target.flatten())
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    if step % 15 == 0:
        print(f"step {step}  loss {loss.item():.4f}")
