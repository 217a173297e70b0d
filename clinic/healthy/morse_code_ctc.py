"""Letters from a noisy recording of Morse code, with no word of where each begins: a GRU and the CTC loss.

condition: healthy
metric: letter_errors min
"""

import argparse

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

CODE = {"a": ".-", "e": ".", "i": "..", "m": "--", "n": "-.", "s": "...", "t": "-", "r": ".-."}
LETTERS = list(CODE)


def keyed(word, generator):
    """A tone for one beat or three, silence between; the hand is not quite steady."""
    samples = [0]
    for letter in word:
        for sign in CODE[LETTERS[letter]]:
            beats = 1 if sign == "." else 3 + int(torch.randint(2, (), generator=generator))
            samples += [1] * beats + [0]
        samples += [0, 0]
    signal = torch.tensor(samples, dtype=torch.float32)
    return signal + 0.15 * torch.randn(len(signal), generator=generator)


def collate(words, generator):
    signals = [keyed(word, generator) for word in words]
    return {
        "signal": pad_sequence(signals, batch_first=True).unsqueeze(2),
        "lengths": torch.tensor([len(s) for s in signals]),
        "letters": torch.tensor([letter + 1 for word in words for letter in word]),
        "counts": torch.tensor([len(word) for word in words]),
    }


def draw(count, generator):
    sizes = torch.randint(2, 5, (count,), generator=generator).tolist()
    words = [torch.randint(len(LETTERS), (size,), generator=generator).tolist() for size in sizes]
    return collate(words, generator)


class Listener(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.front = nn.Conv1d(1, 24, 5, padding=2)
        self.gru = nn.GRU(24, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, len(LETTERS) + 1)

    def forward(self, signal):
        h = torch.relu(self.front(signal.transpose(1, 2))).transpose(1, 2)
        return self.head(self.gru(h)[0]).log_softmax(-1)


def distance(a, b):
    """Levenshtein."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def letter_errors(model, batch):
    with torch.no_grad():
        best = model(batch["signal"]).argmax(-1)
    wrong = 0
    for path, length, letters in zip(
        best, batch["lengths"], batch["letters"].split(batch["counts"].tolist()), strict=True
    ):
        read = [int(p) for p in torch.unique_consecutive(path[:length]) if p]
        wrong += distance(read, letters.tolist())
    return wrong / len(batch["letters"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    test = draw(60, generator)
    model = Listener()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loss_fn = nn.CTCLoss(blank=0)
    for step in range(1, 301):
        batch = draw(16, generator)
        scores = model(batch["signal"]).transpose(0, 1)
        loss = loss_fn(scores, batch["letters"], batch["lengths"], batch["counts"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            print(f"step {step}  loss {loss.item():.4f}  letter_errors {letter_errors(model, test):.4f}")


if __name__ == "__main__":
    main()
