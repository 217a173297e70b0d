"""A policy learns to write words backwards from rewards alone: groups of tries for each word, and longer words later on.

condition: zero-variance-groups
accepts: zero-variance-groups
allows: stalled, vanishing-gradient, epsilon-dominated-update, learning-rate-too-low
metric: score max
"""

import argparse

import torch
from torch import nn

LETTERS, TRIES = 8, 12


class Writer(nn.Module):
    """Reads the word, and says for each place of the answer how likely each letter is."""

    def __init__(self, width=48, longest=8):
        super().__init__()
        self.letter, self.place = nn.Embedding(LETTERS, width), nn.Embedding(longest, width)
        self.ask = nn.Embedding(longest, width)
        self.size = nn.Embedding(longest + 1, width)
        self.look = nn.MultiheadAttention(width, 4, batch_first=True)
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 96), nn.GELU(), nn.Linear(96, LETTERS))

    def forward(self, word):
        places = torch.arange(word.shape[1])
        read = self.letter(word) + self.place(places)
        query = (self.ask(places) + self.size(torch.tensor(len(places)))).expand(len(word), -1, -1)
        return self.out(self.look(query, read, read, need_weights=False)[0])


def reward(answer, word):
    right = answer == word.flip(-1).unsqueeze(1)
    return right.all(2).float()


def length_of(step):
    return 2 if step <= 250 else 6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Writer()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    exam = torch.randint(0, LETTERS, (300, 6))
    for step in range(1, 901):
        word = torch.randint(0, LETTERS, (32, length_of(step)))
        policy = torch.distributions.Categorical(logits=model(word).unsqueeze(1).expand(-1, TRIES, -1, -1))
        with torch.no_grad():
            answer = policy.sample()
            won = reward(answer, word)
            advantage = (won - won.mean(1, keepdim=True)) / (won.std(1, keepdim=True) + 1e-4)
        loss = -(advantage.unsqueeze(2) * policy.log_prob(answer)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                score = (model(exam).argmax(2) == exam.flip(1)).float().mean().item()
            print(f"step {step}  reward {won.mean().item():.4f}  score {score:.4f}")


if __name__ == "__main__":
    main()
