"""Which of five hidden regimes rules on each day? Noisy daily measurements, small network, conditional random field.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters
metric: accuracy max
"""

import argparse

import torch
from torch import nn

REGIMES, DAYS = 5, 24


def seasons(n, rng):
    """A regime stays for a while and is followed by the next one of a ring; measurements tell little of it."""
    chain = 0.72 * torch.eye(REGIMES) + 0.25 * torch.eye(REGIMES).roll(1, 1) + 0.006
    tags = torch.zeros(n, DAYS, dtype=torch.long)
    tags[:, 0] = torch.randint(REGIMES, (n,), generator=rng)
    for day in range(1, DAYS):
        tags[:, day] = torch.multinomial(chain[tags[:, day - 1]], 1, generator=rng).squeeze(1)
    angle = 2 * torch.pi * tags / REGIMES
    x = torch.stack([angle.cos(), angle.sin(), (2 * angle).cos()], dim=-1)
    return x + 1.1 * torch.randn(x.shape, generator=rng), tags


class ChainLoss(nn.Module):
    """Negative log-likelihood of a linear-chain field over the tagger's scores."""

    def __init__(self, tags):
        super().__init__()
        self.moves = nn.Parameter(torch.zeros(tags, tags))
        self.first = nn.Parameter(torch.zeros(tags))

    def forward(self, scores, tags):
        path = scores.gather(2, tags.unsqueeze(2)).sum((1, 2)) + self.first[tags[:, 0]]
        path = path + self.moves[tags[:, :-1], tags[:, 1:]].sum(1)
        total = self.first + scores[:, 0]
        for day in range(1, scores.shape[1]):
            total = torch.logsumexp(total.unsqueeze(2) + self.moves, dim=1) + scores[:, day]
        return (torch.logsumexp(total, dim=1) - path).mean() / scores.shape[1]

    @torch.no_grad()
    def best_path(self, scores):
        best, back = self.first + scores[:, 0], []
        for day in range(1, scores.shape[1]):
            best, choice = (best.unsqueeze(2) + self.moves).max(1)
            best = best + scores[:, day]
            back.append(choice)
        path = [best.argmax(1)]
        for choice in reversed(back):
            path.append(choice.gather(1, path[-1].unsqueeze(1)).squeeze(1))
        return torch.stack(path[::-1], dim=1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    x, tags = seasons(800, rng)
    x_val, tags_val = seasons(300, rng)

    model = nn.Sequential(nn.Linear(3, 48), nn.Tanh(), nn.Linear(48, REGIMES))
    loss_fn = ChainLoss(REGIMES)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    step = 0
    for _ in range(12):
        for rows in torch.randperm(len(x), generator=rng).split(32):
            loss = loss_fn(model(x[rows]), tags[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 12 == 0:
                with torch.no_grad():
                    path = loss_fn.best_path(model(x_val))
                accuracy = (path == tags_val).float().mean().item()
                print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
