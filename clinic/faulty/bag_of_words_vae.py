"""A neural topic model: a VAE over the word counts of passages of Python's help texts, eight latent numbers each.

condition: posterior-collapse
accepts: posterior-collapse
allows: stalled, loss-term-imbalance
metric: perplexity min
"""

import argparse
import re
from collections import Counter
from pydoc_data.topics import topics

import torch
from torch import nn


def passages(names, words=60, vocabulary=400):
    lists = {name: re.findall(r"[a-z]{3,}", topics[name].lower()) for name in names}
    common = Counter(w for found in lists.values() for w in found).most_common(vocabulary + 20)[20:]
    index = {w: i for i, (w, _) in enumerate(common)}
    rows = []
    for found in lists.values():
        codes = [index[w] for w in found if w in index]
        rows += [
            torch.bincount(torch.tensor(codes[i : i + words]), minlength=vocabulary)
            for i in range(0, len(codes) - words, words // 2)
        ]
    return torch.stack(rows).float()


class TopicVAE(nn.Module):
    def __init__(self, vocabulary, latent=8):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(vocabulary, 96), nn.Softplus(), nn.Linear(96, 2 * latent))
        self.decoder = nn.Linear(latent, vocabulary)

    def forward(self, counts):
        mean, log_var = self.encoder(torch.log1p(counts)).chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp() if self.training else mean
        return self.decoder(z).log_softmax(1), mean, log_var


def objective(log_words, counts, mean, log_var):
    rebuild = -(counts * log_words).mean()
    divergence = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()
    return rebuild + divergence


@torch.no_grad()
def perplexity(model, counts):
    model.eval()
    log_words, *_ = model(counts)
    model.train()
    return torch.exp(-(counts * log_words).sum() / counts.sum()).item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    long = [name for name in topics if len(topics[name]) > 9000]
    counts = passages(long)
    counts = counts[torch.randperm(len(counts))]
    train, held = counts[60:], counts[:60]
    model = TopicVAE(counts.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(1, 601):
        batch = train[torch.randint(len(train), (64,))]
        log_words, mean, log_var = model(batch)
        loss = objective(log_words, batch, mean, log_var)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step}  loss {loss.item():.3f}  perplexity {perplexity(model, held):.2f}")


if __name__ == "__main__":
    main()
