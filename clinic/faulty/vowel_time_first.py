"""Every frame of a sentence gets its vowel: a GRU over formant tracks.

condition: stalled
accepts: stalled
allows: learning-rate-too-low, vanishing-gradient
metric: val_error min
"""

import argparse

import torch
from torch import nn

VOWELS = torch.tensor([[-1.0, 1.2], [0.0, 1.4], [1.2, 0.1], [0.3, -0.8], [-1.1, -1.0]])


def sentences(count, length=20):
    change = torch.rand(count, length) < 0.25
    drawn = torch.randint(len(VOWELS), (count, length))
    vowel = [drawn[:, 0]]
    for t in range(1, length):
        vowel.append(torch.where(change[:, t], drawn[:, t], vowel[-1]))
    vowel = torch.stack(vowel, 1)
    speaker = 0.4 * torch.randn(count, 1, 2)
    return VOWELS[vowel] + speaker + 0.7 * torch.randn(count, length, 2), vowel


class VowelTagger(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.gru = nn.GRU(2, hidden, bidirectional=True)
        self.head = nn.Linear(2 * hidden, len(VOWELS))

    def forward(self, formants):
        count, length, _ = formants.shape
        out, _ = self.gru(formants.transpose(0, 1))
        return self.head(out.reshape(count, length, -1))


def error(model, formants, vowel):
    with torch.no_grad():
        return (model(formants).argmax(-1) != vowel).float().mean().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
formants, vowel = sentences(2400)
held = sentences(400)
model = VowelTagger()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.CrossEntropyLoss()
for epoch in range(1, 17):
    total = 0.0
    for rows in torch.randperm(len(formants)).split(60):
        loss = loss_fn(model(formants[rows]).flatten(0, 1), vowel[rows].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    print(f"epoch {epoch}  loss {total / 40:.4f}  val_error {error(model, *held):.4f}")
