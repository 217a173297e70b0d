"""A character LSTM on Python's help texts; the rate warms up and then falls with the inverse root of the step.

condition: unsafe-step
accepts: unsafe-step
allows: loss-spike, learning-rate-too-high, divergence, saturated-units, exploding-gradient, bptt-explosion
metric: loss min
"""

import argparse
from pydoc_data.topics import topics

import torch
from torch import nn

WARMUP, STEPS, CONTEXT, BATCH = 40, 300, 32, 16


class CharLSTM(nn.Module):
    def __init__(self, vocab, hidden_size=64):
        super().__init__()
        self.embed = nn.Embedding(vocab, 24)
        self.lstm = nn.LSTM(24, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, vocab)

    def forward(self, tokens):
        out, _ = self.lstm(self.embed(tokens))
        return self.head(out)


def rate(step):
    """Rises to 1 over the warm-up, then falls like 1/sqrt of the steps since."""
    if step < WARMUP:
        return (step + 1) / WARMUP
    return ((step - WARMUP) / 20 + 1e-5) ** -0.5


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

text = topics["types"] + topics["specialnames"]
symbols = sorted(set(text))
data = torch.tensor([symbols.index(c) for c in text])

model = CharLSTM(len(symbols))
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, STEPS + 1):
    start = torch.randint(len(data) - CONTEXT - 1, (BATCH, 1))
    window = data[start + torch.arange(CONTEXT + 1)]
    logits = model(window[:, :-1])
    loss = loss_fn(logits.flatten(0, 1), window[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 10 == 0:
        print(f"step {step}  loss {loss.item():.4f}")
