"""Joint angles of a two-link arm from where its hand is: a sigmoid network with uniform initial weights.

condition: healthy
metric: mse min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

angles = torch.rand(3000, 2) * torch.tensor([1.5, 2.0]) + torch.tensor([0.0, 0.3])
total = angles.sum(1)
hand = torch.stack([angles[:, 0].cos() + total.cos(), angles[:, 0].sin() + total.sin()], dim=1)
hand = torch.cat([hand, hand**2], dim=1)
hand = (hand - hand.mean(0)) / hand.std(0)
targets = angles - angles.mean(0)


class Arm(nn.Module):
    def __init__(self, width=80):
        super().__init__()
        self.first = nn.Linear(4, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, 2)
        self.activation = nn.Sigmoid()
        for layer in (self.first, self.second):
            nn.init.xavier_uniform_(layer.weight, gain=4.0)

    def forward(self, x):
        return self.last(self.activation(self.second(self.activation(self.first(x)))))


model = Arm()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
loss_fn = nn.MSELoss()

running = 0.0
for step in range(1, 601):
    batch = torch.randint(len(hand), (128,))
    loss = loss_fn(model(hand[batch]), targets[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 20 == 0:
        print(f"step {step}  mse {running / 20:.5f}")
        running = 0.0
