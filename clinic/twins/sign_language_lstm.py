"""Hand trajectories of eight signs go through a stack of LSTM layers, the last state names the sign.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn

SIGNS, FRAMES = 8, 16


class Signer:
    """Each sign is a path of four positions, made faster or slower, by hands that tremble."""

    def __init__(self):
        self.path = torch.randn(SIGNS, 4, 4)

    def perform(self, count):
        sign = torch.randint(SIGNS, (count,))
        clock = torch.linspace(0, 2.999, FRAMES) * (0.7 + 0.3 * torch.rand(count, 1))
        left = clock.long()
        part = (clock - left).unsqueeze(-1)
        rows = torch.arange(count).unsqueeze(1)
        path = self.path[sign]
        hands = (1 - part) * path[rows, left] + part * path[rows, left + 1]
        return hands + 0.5 * torch.randn(count, 1, 4) + 0.5 * torch.randn(count, FRAMES, 4), sign


class LayeredLSTM(nn.Module):
    def __init__(self, width=32, depth=7):
        super().__init__()
        self.inp = nn.Linear(4, width)
        self.layers = nn.ModuleList([nn.LSTM(width, width, batch_first=True) for _ in range(depth)])
        self.head = nn.Linear(width, SIGNS)

    def forward(self, hands):
        x = self.inp(hands)
        for layer in self.layers:
            x = x + layer(x)[0]
        return self.head(x[:, -1])


class Training:
    def __init__(self, seed):
        torch.manual_seed(seed)
        self.signer = Signer()
        self.exam = self.signer.perform(800)
        self.model = LayeredLSTM()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.loss_fn = nn.CrossEntropyLoss()

    def step(self):
        hands, sign = self.signer.perform(64)
        loss = self.loss_fn(self.model(hands), sign)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def accuracy(self):
        return (self.model(self.exam[0]).argmax(1) == self.exam[1]).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    training = Training(parser.parse_args().seed)
    for step in range(1, 401):
        loss = training.step()
        if step % 20 == 0:
            print(f"step {step}  loss {loss:.4f}  accuracy {training.accuracy():.4f}")
