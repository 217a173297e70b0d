"""Matrix factorisation: films and viewers get vectors whose products are the ratings.

condition: healthy
metric: rmse min
"""

import argparse

import torch
from torch import nn

VIEWERS, FILMS, RANK = 120, 80, 5


class Factors(nn.Module):
    def __init__(self, rank=8):
        super().__init__()
        self.viewer = nn.Embedding(VIEWERS, rank)
        self.film = nn.Embedding(FILMS, rank)
        self.taste = nn.Embedding(VIEWERS, 1)
        self.fame = nn.Embedding(FILMS, 1)
        for table in (self.viewer, self.film, self.taste, self.fame):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, viewer, film):
        match = (self.viewer(viewer) * self.film(film)).sum(-1)
        return match + self.taste(viewer).squeeze(-1) + self.fame(film).squeeze(-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    # what viewers think: a few hidden interests, and noise
    ratings = torch.randn(VIEWERS, RANK) @ torch.randn(FILMS, RANK).T / RANK**0.5 + 0.2 * torch.randn(VIEWERS, FILMS)
    seen = torch.rand(VIEWERS, FILMS) < 0.7
    viewers, films = seen.nonzero(as_tuple=True)
    hidden_viewers, hidden_films = (~seen).nonzero(as_tuple=True)

    model = Factors()
    loss_fn = nn.MSELoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.004, momentum=0.9)

    for step in range(1, 601):
        rows = torch.randint(len(viewers), (256,))
        loss = loss_fn(model(viewers[rows], films[rows]), ratings[viewers[rows], films[rows]])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                error = model(hidden_viewers, hidden_films) - ratings[hidden_viewers, hidden_films]
            rmse = error.square().mean().sqrt().item()
            print(f"step {step}  loss {loss.item() / len(rows):.4f}  rmse {rmse:.4f}")


if __name__ == "__main__":
    main()
