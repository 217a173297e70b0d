"""An LSTM reads forty symbols and has to say at the end which one came first.

condition: healthy
metric: loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

symbols, length, hidden = 4, 40, 32


class Recall(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(symbols, 16)
        self.lstm = nn.LSTM(16, hidden, batch_first=True)
        for name, bias in self.lstm.named_parameters():
            if "bias" in name:
                nn.init.zeros_(bias)
                bias.data[hidden : 2 * hidden].fill_(2.0)
        self.head = nn.Linear(hidden, symbols)

    def forward(self, tokens):
        output, _ = self.lstm(self.embedding(tokens))
        return self.head(output[:, -1])


model = Recall()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
loss_fn = nn.CrossEntropyLoss()

running = 0.0
for step in range(1, 401):
    tokens = torch.randint(symbols, (32, length))
    loss = loss_fn(model(tokens), tokens[:, 0])
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    running += loss.item()
    if step % 10 == 0:
        print(f"step {step}  loss {running / 10:.4f}")
        running = 0.0
