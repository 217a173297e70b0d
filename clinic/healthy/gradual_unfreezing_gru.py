"""A character GRU of Python's help texts becomes a topic classifier: the head first, then the GRU, then the letters.

condition: healthy
metric: accuracy max
"""

import argparse
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn

WINDOW = 48


class Reader(nn.Module):
    def __init__(self, letters=128, width=32, units=64):
        super().__init__()
        self.letters = nn.Embedding(letters, width)
        self.gru = nn.GRU(width, units, batch_first=True)
        self.next_letter = nn.Linear(units, letters)

    def states(self, text):
        return self.gru(self.letters(text))[0]


def encode(text):
    return torch.tensor([min(ord(c), 127) for c in text])


def windows(text, count):
    start = torch.randint(len(text) - WINDOW - 1, (count, 1))
    return text[start + torch.arange(WINDOW + 1)]


def batch(pages, size):
    topic = torch.randint(len(pages), (size,))
    return torch.cat([windows(pages[k], 1) for k in topic.tolist()])[:, :-1], topic


def pretrain(reader, text, steps=80):
    optimizer = torch.optim.Adam(reader.parameters(), lr=4e-3)
    for _ in range(steps):
        letters = windows(text, 24)
        logits = reader.next_letter(reader.states(letters[:, :-1]))
        loss = F.cross_entropy(logits.flatten(0, 1), letters[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    available = sorted(topics, key=lambda name: -len(topics[name]))[:8]
    pages = [encode(topics[name]) for name in available]
    reader = Reader()
    pretrain(reader, torch.cat(pages))

    reader.requires_grad_(False)
    head = nn.Linear(64, len(pages))
    model = nn.ModuleDict({"reader": reader, "head": head})
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    exam, topic_of_exam = batch(pages, 500)

    def classify(text):
        return model["head"](model["reader"].states(text).mean(1))

    for step in range(1, 361):
        if step == 101:
            reader.gru.requires_grad_(True)
            optimizer.add_param_group({"params": reader.gru.parameters(), "lr": 5e-3})
        if step == 201:
            reader.letters.requires_grad_(True)
            optimizer.add_param_group({"params": reader.letters.parameters(), "lr": 5e-3})
        text, topic = batch(pages, 32)
        loss = F.cross_entropy(classify(text), topic)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 18 == 0:
            with torch.no_grad():
                accuracy = (classify(exam).argmax(1) == topic_of_exam).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
