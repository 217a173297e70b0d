"""Ratings of board games: players and games have vectors in bfloat16, as tables are large; Adam on batches of 600.

condition: healthy
metric: val_rmse min
"""

import argparse

import torch
from torch import nn

PLAYERS, GAMES, RANK = 300, 120, 6


class Tables(nn.Module):
    def __init__(self, mean):
        super().__init__()
        self.mean = mean
        self.player, self.game = nn.Embedding(PLAYERS, RANK), nn.Embedding(GAMES, RANK)
        self.player_bias, self.game_bias = nn.Embedding(PLAYERS, 1), nn.Embedding(GAMES, 1)
        for table in (self.player, self.game):
            nn.init.normal_(table.weight, std=0.5)
        for table in (self.player_bias, self.game_bias):
            nn.init.normal_(table.weight, std=0.2)

    def forward(self, player, game):
        product = (self.player(player) * self.game(game)).sum(1)
        return self.mean + product + self.player_bias(player)[:, 0] + self.game_bias(game)[:, 0]


def ratings(g, count=14_000):
    taste, kind = torch.randn(PLAYERS, 4, generator=g) / 2, torch.randn(GAMES, 4, generator=g)
    player, game = torch.randint(PLAYERS, (count,), generator=g), torch.randint(GAMES, (count,), generator=g)
    good = 0.5 * torch.randn(GAMES, generator=g)
    stars = 6.5 + (taste[player] * kind[game]).sum(1) + good[game] + 0.3 * torch.randn(count, generator=g)
    return player, game, stars


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    player, game, stars = ratings(torch.Generator().manual_seed(seed))
    split = 12_000
    model = Tables(stars[:split].mean().item())
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-4)
    loss_fn = nn.MSELoss()
    for epoch in range(1, 41):
        for rows in torch.randperm(split).split(600):
            optimizer.zero_grad()
            loss = loss_fn(model(player[rows], game[rows]).float(), stars[rows])
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            error = model(player[split:], game[split:]).float() - stars[split:]
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_rmse {error.square().mean().sqrt().item():.4f}")


main()
