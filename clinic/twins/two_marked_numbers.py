"""Two numbers of a long sequence are on channel one, all others on channel two: a recurrent network adds the two.

condition: healthy
metric: mse min
"""

import argparse

import torch
from torch import nn


def sequences(count, length):
    values = torch.rand(count, length) * 2 - 1
    marks = torch.zeros(count, length)
    half = length // 2
    first, second = torch.randint(half, (count,)), half + torch.randint(length - half, (count,))
    rows = torch.arange(count)
    marks[rows, first] = marks[rows, second] = 1
    return torch.stack([values * marks, values * (1 - marks)], 2), (values * marks).sum(1)


class Adder(nn.Module):
    def __init__(self, hidden=80):
        super().__init__()
        self.rnn = nn.RNN(2, hidden, nonlinearity="tanh", batch_first=True)
        self.read = nn.Linear(hidden, 1)
        for name, parameter in self.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)
            elif "weight_hh" in name:
                nn.init.eye_(parameter)
            else:
                nn.init.xavier_normal_(parameter, gain=0.3)

    def forward(self, sequence):
        return self.read(self.rnn(sequence)[0][:, -1]).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Adder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_fn = nn.MSELoss()
    test, answers = sequences(300, 60)
    for step in range(1, 401):
        batch, sums = sequences(50, 60)
        loss = loss_fn(model(batch), sums)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                mse = loss_fn(model(test), answers).item()
            print(f"step {step}  loss {loss.item():.4f}  mse {mse:.4f}")


if __name__ == "__main__":
    main()
