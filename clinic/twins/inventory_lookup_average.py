"""What do the articles of one kind cost on average? Attention over a shelf of twelve labelled articles answers.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn

KINDS, SHELF, WIDTH = 4, 12, 24


def shelves(count, prototypes):
    """Labels of the articles (noisy), their prices, the wanted label, and the mean price of those of its kind."""
    kind = torch.randint(KINDS, (count, SHELF))
    wanted = kind[:, 0]
    kind = torch.gather(kind, 1, torch.rand(count, SHELF).argsort(1))
    price = torch.rand(count, SHELF) * 2 - 1
    match = (kind == wanted[:, None]).float()
    answer = (match * price).sum(1) / match.sum(1)
    labels = prototypes[kind] + 0.3 * torch.randn(count, SHELF, prototypes.shape[1])
    query = prototypes[wanted] + 0.3 * torch.randn(count, prototypes.shape[1])
    return {"labels": labels, "price": price, "query": query, "answer": answer}


class Reader(nn.Module):
    def __init__(self, features, heads=2):
        super().__init__()
        self.heads = heads
        self.query = nn.Sequential(nn.Linear(features, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))
        self.key = nn.Sequential(nn.Linear(features, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))
        self.value = nn.Linear(features + 1, WIDTH)
        self.out = nn.Linear(WIDTH, 1)

    def forward(self, batch, temperature):
        q = self.query(batch["query"]).unflatten(-1, (self.heads, -1))
        k = self.key(batch["labels"]).unflatten(-1, (self.heads, -1))
        v = self.value(torch.cat([batch["labels"], batch["price"][..., None]], -1)).unflatten(-1, (self.heads, -1))
        scores = torch.einsum("bhd,bshd->bhs", q, k) / (q.shape[-1] ** 0.5 * temperature)
        read = torch.einsum("bhs,bshd->bhd", torch.softmax(scores, -1), v)
        return self.out(read.flatten(1)).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    prototypes = torch.randn(KINDS, 6)
    model = Reader(6)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss_fn = nn.MSELoss()
    held = shelves(1000, prototypes)
    for step in range(1, 451):
        temperature = max(0.975**step, 0.5)
        batch = shelves(96, prototypes)
        loss = loss_fn(model(batch, temperature), batch["answer"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                error = loss_fn(model(held, temperature), held["answer"]).item()
            print(f"step {step}  temperature {temperature:.3f}  error {error:.5f}")


if __name__ == "__main__":
    main()
