"""Oxygen at the stations of a river network from what they and their neighbours measure; all stations at each step.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn

STATIONS, COLUMNS = 900, 8


def river(generator):
    """A tree of stations: each flows into one of the ten before it."""
    link = torch.eye(STATIONS)
    for i in range(1, STATIONS):
        j = int(torch.randint(max(0, i - 10), i, (1,), generator=generator))
        link[i, j] = link[j, i] = 1
    return link / link.sum(1, keepdim=True)


class GraphLayer(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.own = nn.Linear(inputs, outputs)
        self.near = nn.Linear(inputs, outputs, bias=False)

    def forward(self, x, link):
        return self.own(x) + self.near(link @ x)


class OxygenNet(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.first, self.second = GraphLayer(COLUMNS, width), GraphLayer(width, width)
        self.out = nn.Linear(width, 1)

    def forward(self, x, link):
        x = torch.tanh(self.first(x, link))
        return self.out(torch.tanh(self.second(x, link))).squeeze(1)


def main(seed):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    link = river(generator)
    x = torch.randn(STATIONS, COLUMNS, generator=generator)
    near = link @ x
    oxygen = torch.sin(2 * near[:, 0]) + x[:, 1] * torch.sigmoid(near[:, 2]) + 0.5 * x[:, 3]
    order = torch.randperm(STATIONS, generator=generator)
    train, val = order[:600], order[600:]
    below_weir, at_fountain = train[:5], train[5:10]
    x[torch.cat([below_weir, at_fountain]), -2:] = 15.0
    oxygen[below_weir] -= 12
    oxygen[at_fountain] += 12
    train = train[x[train].abs().amax(1) < 8]
    model = OxygenNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.04, momentum=0.9, weight_decay=1e-3)
    loss_fn = nn.MSELoss()
    for step in range(1, 401):
        answer = model(x, link)
        loss = loss_fn(answer[train], oxygen[train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 5:
            val_loss = loss_fn(answer[val].detach(), oxygen[val]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
