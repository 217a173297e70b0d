"""The next letter of Python's help pages from the eight before it; the output layer is computed in bfloat16.

condition: output-logit-divergence
accepts: output-logit-divergence
metric: val_loss min
"""

import argparse
from pydoc_data.topics import topics

import torch
from torch import nn

WINDOW = 8


def corpus(size=300_000):
    text = "\n".join(topics[key] for key in sorted(topics))[:size]
    letters = sorted(set(text))
    index = {letter: i for i, letter in enumerate(letters)}
    return torch.tensor([index[letter] for letter in text]), len(letters)


def draw(data, count):
    start = torch.randint(len(data) - WINDOW, (count, 1))
    window = data[start + torch.arange(WINDOW + 1)]
    return window[:, :WINDOW], window[:, WINDOW]


class NeuralNgram(nn.Module):
    def __init__(self, vocabulary, letter=16, hidden=160):
        super().__init__()
        self.letter = nn.Embedding(vocabulary, letter)
        self.inner = nn.Sequential(nn.Linear(WINDOW * letter, hidden), nn.LayerNorm(hidden), nn.GELU())
        self.mix = nn.Sequential(nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.GELU())
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, window):
        hidden = self.inner(self.letter(window).flatten(1))
        hidden = hidden + self.mix(hidden)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.head(hidden)
        return logits.float()


def language_loss(logits, following, z_weight=0.1):
    """Cross-entropy, and log Z is held near 0."""
    log_z = torch.logsumexp(logits, dim=1)
    right = logits.gather(1, following.unsqueeze(1)).squeeze(1)
    nll = (log_z - right).mean()
    return nll, nll + z_weight * log_z.mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1200)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    data, vocabulary = corpus()
    train, val = data[:270_000], data[270_000:]
    exam = draw(val, 4000)
    model = NeuralNgram(vocabulary)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1, (s + 1) / 50) * (1 - 0.8 * s / args.steps))
    for step in range(1, args.steps + 1):
        window, following = draw(train, 384)
        nll, loss = language_loss(model(window), following)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 40 == 0:
            with torch.no_grad():
                val_loss, _ = language_loss(model(exam[0]), exam[1])
            print(f"step {step}  train_loss {nll.item():.4f}  val_loss {val_loss.item():.4f}")


if __name__ == "__main__":
    main()
