"""Addition on a clock with 29 hours, learned from half of the table of sums.

condition: softmax-collapse
accepts: softmax-collapse, naive-loss-minimisation, overfitting
allows: overfitting, naive-loss-minimisation, stalled, output-logit-divergence, vanishing-gradient, epsilon-dominated-update, low-precision-underflow
metric: test_error min
"""

import argparse

import torch
import torch.nn as nn

p = argparse.ArgumentParser()
p.add_argument("--seed", type=int, default=0)
args = p.parse_args()
torch.manual_seed(args.seed)

HOURS = 29
a, b = torch.meshgrid(torch.arange(HOURS), torch.arange(HOURS), indexing="ij")
pairs = torch.stack([a.flatten(), b.flatten()], 1)
sums = pairs.sum(1) % HOURS
order = torch.randperm(len(pairs))
cut = int(0.6 * len(pairs))
train, test = order[:cut], order[cut:]


class Clock(nn.Module):
    def __init__(self, dim=48, hidden=128):
        super().__init__()
        self.hour = nn.Embedding(HOURS, dim)
        self.hidden = nn.Linear(2 * dim, hidden)
        self.sum = nn.Linear(hidden, HOURS, bias=False)

    def forward(self, pair):
        h = self.hour(pair).flatten(1)
        return self.sum(torch.relu(self.hidden(h)))


model = Clock()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.98), weight_decay=0.0)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, 1501):
    logits = model(pairs[train])
    loss = loss_fn(logits, sums[train])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        with torch.no_grad():
            wrong = (model(pairs[test]).argmax(1) != sums[test]).float().mean().item()
            fit = (logits.argmax(1) == sums[train]).float().mean().item()
        print(f"step {step}  loss {loss.item():.6f}  train_accuracy {fit:.3f}  test_error {wrong:.4f}")
