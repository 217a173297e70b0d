"""A character LSTM with dropout on one of Python's help texts; now and then it writes a line to show how far it is.

condition: healthy
metric: val_loss min
"""

import argparse
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn

WINDOW = 20


class CharLSTM(nn.Module):
    def __init__(self, letters, hidden=96):
        super().__init__()
        self.embedding = nn.Embedding(letters, 32)
        self.lstm = nn.LSTM(32, hidden, batch_first=True)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(hidden, letters)

    def forward(self, tokens, state=None):
        h, state = self.lstm(self.dropout(self.embedding(tokens)), state)
        return self.head(self.dropout(h)), state

    @torch.no_grad()
    def write(self, first, length, generator):
        """Continue a text by `length` characters."""
        self.eval()
        token, state, line = torch.tensor([[first]]), None, []
        for _ in range(length):
            logits, state = self(token, state)
            token = torch.multinomial(logits[0].softmax(1), 1, generator=generator)
            line.append(token.item())
        self.train()
        return line


@torch.no_grad()
def evaluate(model, source):
    training = model.training
    model.eval()
    windows = source[: len(source) // WINDOW * WINDOW].view(-1, WINDOW)
    loss = F.cross_entropy(model(windows[:, :-1])[0].flatten(0, 1), windows[:, 1:].flatten())
    model.train(training)
    return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)

    text = topics["comparisons"]
    letters = sorted(set(text))
    data = torch.tensor([letters.index(c) for c in text])
    train, val = data[:2500], data[2500:5000]
    model = CharLSTM(len(letters))
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    for step in range(1, 421):
        starts = torch.randint(len(train) - WINDOW, (20, 1), generator=generator)
        windows = train[starts + torch.arange(WINDOW)]
        logits, _ = model(windows[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print("".join(letters[i] for i in model.write(0, 60, generator)).replace("\n", " "))
        if step % 20 == 0:
            print(f"step {step}  loss {loss.item():.4f}  val_loss {evaluate(model, val):.4f}")


if __name__ == "__main__":
    main()
