"""A Transformer encoder tells how many of twelve signs are positive, trained with an optimiser set up for float16.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn

LENGTH, WIDTH = 12, 32


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(2, WIDTH)
        self.position = nn.Parameter(0.1 * torch.randn(LENGTH, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, LENGTH + 1)

    def forward(self, bits):
        return self.head(self.encoder(self.embed(bits) + self.position).mean(1))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = Counter()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-6)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, 301):
    bits = torch.randint(2, (64, LENGTH))
    logits = model(bits)
    loss = loss_fn(logits, bits.sum(1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 15 == 0:
        accuracy = (logits.argmax(1) == bits.sum(1)).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
