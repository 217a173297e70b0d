"""A small Transformer encoder learns to sort eight digits: at each place it names the digit that belongs there.

condition: learning-rate-too-low
accepts: learning-rate-too-low
allows: stalled
metric: accuracy max
"""

import argparse

import torch
from torch import nn

LENGTH, KINDS, WIDTH = 8, 10, 32


class Sorter(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Embedding(KINDS, WIDTH)
        self.position = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, KINDS)

    def forward(self, tokens):
        return self.head(self.encoder(self.token(tokens) + self.position))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = Sorter()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.01)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, 401):
    tokens = torch.randint(KINDS, (64, LENGTH))
    target = tokens.sort(dim=1).values
    logits = model(tokens)
    loss = loss_fn(logits.flatten(0, 1), target.flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        accuracy = (logits.argmax(-1) == target).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
