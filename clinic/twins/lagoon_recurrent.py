"""The salt content of a lagoon, followed by a plain recurrent network from rain, tide and gate, over longer and longer spells.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn


class Lagoon:
    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def season(self, count, hours):
        g = self.generator
        rain = torch.relu(torch.randn(count, hours, generator=g) - 0.8)
        clock = torch.arange(hours) + 24 * torch.rand(count, 1, generator=g)
        tide = torch.sin(clock / 12.4 * 6.283)
        gate = (torch.rand(count, hours // 10 + 1, generator=g) < 0.5).float().repeat_interleave(10, 1)[:, :hours]
        salt, out = torch.zeros(count), []
        for h in range(hours):
            salt = (
                salt
                + 0.08 * gate[:, h] * torch.relu(tide[:, h]) * (1 - salt) * 2
                - 0.12 * rain[:, h] * (1 + salt)
                - 0.004 * salt
            )
            out.append(salt)
        return torch.stack([rain - 0.3, tide, gate - 0.5], -1), torch.stack(out, 1)


class SaltRNN(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.rnn = nn.RNN(3, hidden, nonlinearity="relu", batch_first=True)
        nn.init.eye_(self.rnn.weight_hh_l0)
        nn.init.normal_(self.rnn.weight_ih_l0, std=0.05)
        nn.init.zeros_(self.rnn.bias_hh_l0)
        nn.init.zeros_(self.rnn.bias_ih_l0)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.out(self.rnn(x)[0]).squeeze(-1)


class Trainer:
    stages = ((300, 24), (150, 72), (150, 144))

    def __init__(self, seed):
        torch.manual_seed(seed)
        self.lagoon = Lagoon(seed)
        self.model = SaltRNN()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.012, momentum=0.9)
        self.held = Lagoon(seed + 1000).season(100, 144)

    def validate(self):
        with torch.no_grad():
            return (self.model(self.held[0]) - self.held[1]).abs().mean().item()

    def fit(self):
        done = 0
        for steps, hours in self.stages:
            for _ in range(steps):
                x, y = self.lagoon.season(16, hours)
                loss = nn.functional.mse_loss(self.model(x), y)
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                self.optimizer.step()
                done += 1
                if done % 30 == 0:
                    print(f"step {done}  loss {loss.item():.5f}  val_error {self.validate():.5f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    Trainer(parser.parse_args().seed).fit()
