"""Item response theory: skills of players and difficulty and sharpness of chess puzzles from solved or not.

condition: frozen-parameters
accepts: frozen-parameters, scheduler-misuse
allows: stalled, learning-rate-too-low
metric: nll min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

PLAYERS, PUZZLES = 400, 150


def tournament(count, generator):
    skill = 1.5 * torch.randn(PLAYERS, generator=generator)
    difficulty = torch.randn(PUZZLES, generator=generator)
    sharpness = (0.3 * torch.randn(PUZZLES, generator=generator)).exp()
    player = torch.randint(PLAYERS, (count,), generator=generator)
    puzzle = torch.randint(PUZZLES, (count,), generator=generator)
    chance = torch.sigmoid(sharpness[puzzle] * (skill[player] - difficulty[puzzle]))
    return player, puzzle, (torch.rand(count, generator=generator) < chance).float()


class ResponseModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.skill = nn.Parameter(0.01 * torch.randn(PLAYERS))
        self.difficulty = nn.Parameter(torch.zeros(PUZZLES))
        self.log_sharpness = nn.Parameter(torch.zeros(PUZZLES))

    def forward(self, player, puzzle):
        return self.log_sharpness[puzzle].exp() * (self.skill[player] - self.difficulty[puzzle])

    def prior(self):
        return self.skill.pow(2).sum() / 8 + self.difficulty.pow(2).sum() / 2 + self.log_sharpness.pow(2).sum() / 0.2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=40)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    player, puzzle, solved = tournament(20000, generator)
    train, test = slice(0, 16000), slice(16000, None)

    model = ResponseModel()
    optimizer = torch.optim.NAdam(
        [{"params": [model.difficulty, model.log_sharpness]}, {"params": [model.skill]}], lr=0.03
    )
    # the puzzles settle first; the skills follow as their rate rises over the run
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        [
            lambda epoch: 1.0,
            lambda epoch: (epoch + 1) // arguments.epochs,
        ],
    )
    step = 0
    for epoch in range(arguments.epochs):
        for rows in torch.randperm(16000, generator=generator).split(640):
            logits = model(player[train][rows], puzzle[train][rows])
            loss = F.binary_cross_entropy_with_logits(logits, solved[train][rows]) + model.prior() / 16000
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 25 == 0:
                with torch.no_grad():
                    nll = F.binary_cross_entropy_with_logits(model(player[test], puzzle[test]), solved[test]).item()
                print(f"step {step:4d}  loss {loss.item():.4f}  nll {nll:.4f}")
        scheduler.step()


if __name__ == "__main__":
    main()
