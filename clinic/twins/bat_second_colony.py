"""Behaviour of bats from the track of a call's pitch, by a GRU: whole tracks of one colony, then cut ones of another.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

KINDS, FRAMES = 5, 24


def tracks(count, height):
    """Pitch and loudness per frame while the bat hunts, lands, quarrels, courts or calls its young."""
    kind = torch.randint(KINDS, (count,))
    frame = torch.arange(FRAMES).float()
    slope = torch.tensor([-0.08, -0.02, 0.0, 0.05, -0.05])[kind] + 0.01 * torch.randn(count)
    trill = torch.tensor([0.1, 0.2, 0.7, 0.3, 0.6])[kind] + 0.08 * torch.randn(count)
    tempo = torch.tensor([0.6, 0.9, 1.4, 0.7, 0.8])[kind] * (1 + 0.08 * torch.randn(count))
    phase = 6.28 * torch.rand(count)
    slope, trill, tempo, phase = (v.unsqueeze(1) for v in (slope, trill, tempo, phase))
    pitch = height + slope * (frame - 6) + trill * torch.sin(tempo * frame + phase)
    loud = 0.5 * torch.cos(0.5 * tempo * frame + phase)
    seen = torch.stack([pitch, loud], 2) + 0.35 * torch.randn(count, FRAMES, 2)
    return seen, kind


def cut(seen):
    """The microphone of the second colony loses the end of most calls."""
    return seen, torch.randint(10, FRAMES + 1, (len(seen),))


def by_length(seen, length, kind):
    order = length.argsort(descending=True)
    return seen[order], length[order], kind[order]


class CallReader(nn.Module):
    def __init__(self, width=40):
        super().__init__()
        self.gru = nn.GRU(2, width, batch_first=True)
        self.out = nn.Linear(width, KINDS)

    def forward(self, seen, length=None):
        if length is not None:
            seen = pack_padded_sequence(seen, length, batch_first=True, enforce_sorted=False)
        return self.out(self.gru(seen)[1].squeeze(0))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    model = CallReader()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss_fn = nn.CrossEntropyLoss()

    def learn(logits, kind):
        loss = loss_fn(logits, kind)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 3.0)
        optimizer.step()
        return loss.item()

    def report(step, loss, logits, kind):
        print(f"step {step}  loss {loss:.4f}  error {(logits.argmax(1) != kind).float().mean().item():.4f}")

    held, held_kind = tracks(1000, 0.3)
    for step in range(1, 401):
        seen, kind = tracks(64, 0.3)
        loss = learn(model(seen), kind)
        if step % 40 == 0:
            with torch.no_grad():
                report(step, loss, model(held), held_kind)

    held, held_kind = tracks(1000, -0.3)
    held_length = cut(held)[1]
    for step in range(401, 1001):
        seen, kind = tracks(64, -0.3)
        seen, length, kind = by_length(*cut(seen), kind)
        loss = learn(model(seen, length), kind)
        if step % 40 == 0:
            with torch.no_grad():
                report(step, loss, model(held, held_length), held_kind)


if __name__ == "__main__":
    main()
