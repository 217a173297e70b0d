"""Divers' notes: a GRU names the kind of dive from a phrase; words of a new reef join the vocabulary halfway.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters
allows: stalled, overfitting, frozen-parameters, detached-parameters, naive-loss-minimisation
metric: val_error min
"""

import argparse

import torch
from torch import nn


class PhraseGRU(nn.Module):
    def __init__(self, words, width=32, kinds=12):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.gru = nn.GRU(width, 48, batch_first=True)
        self.kind = nn.Linear(48, kinds)

    def forward(self, phrase):
        return self.kind(self.gru(self.embed(phrase))[0].mean(1))

    def grow(self, words):
        old = self.embed.weight.detach()
        new = 0.05 * torch.randn(words - len(old), old.shape[1]) + old.mean(0)
        self.embed = nn.Embedding.from_pretrained(torch.cat([old, new]), freeze=False)


def phrases(count, first, last, speech):
    kind = torch.randint(12, (count,))
    words = torch.multinomial(speech[kind, first:last], 9, replacement=True) + first
    return words, kind


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

speech = (1.1 * torch.randn(12, 360)).exp()
home, away = phrases(2400, 0, 160, speech), phrases(2400, 160, 360, speech)
val_home, val_away = phrases(600, 0, 160, speech), phrases(600, 160, 360, speech)

model = PhraseGRU(160)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.CrossEntropyLoss()
train, val, step = home, val_home, 0

for epoch in range(1, 15):
    if epoch == 6:
        model.grow(360)
        train = tuple(torch.cat(pair) for pair in zip(home, away))
        val = tuple(torch.cat(pair) for pair in zip(val_home, val_away))
    if epoch == 12:
        for group in optimizer.param_groups:
            group["lr"] *= 0.2
    for rows in torch.randperm(len(train[0])).split(60):
        loss = loss_fn(model(train[0][rows]), train[1][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 20 == 0:
            with torch.no_grad():
                val_error = (model(val[0]).argmax(1) != val[1]).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")
