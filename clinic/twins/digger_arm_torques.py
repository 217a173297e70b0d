"""A network learns the joint torques of a digger's arm; idle units are put to new use now and then.

condition: healthy
metric: loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--every", type=int, default=50)
parser.add_argument("--after", type=int, default=300)
args = parser.parse_args()
torch.manual_seed(args.seed)

MASS, LONG, GRAVITY = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([1.2, 0.9, 0.6]), 9.81


def moves(count):
    """Angles, speeds and accelerations of boom, stick and bucket, and the torque each joint must give."""
    angle = torch.rand(count, 3) * torch.tensor([1.5, 2.0, 2.5]) - torch.tensor([0.3, 1.8, 1.5])
    speed = torch.randn(count, 3) * 0.7
    push = torch.randn(count, 3) * 0.8
    total, spin, gain = angle.cumsum(1), speed.cumsum(1), push.cumsum(1)
    torque = torch.zeros(count, 3)
    for link in range(3):
        for joint in range(link + 1):
            weight = MASS[link] * GRAVITY * LONG[joint] * total[:, joint].cos()
            inertia = MASS[link] * LONG[joint] * LONG[link] * gain[:, link] * (total[:, joint] - total[:, link]).cos()
            swing = (
                MASS[link] * LONG[joint] * LONG[link] * spin[:, link] ** 2 * (total[:, joint] - total[:, link]).sin()
            )
            torque[:, joint] += weight + inertia + swing
    return torch.cat([angle, speed, push], 1), (torque - torch.tensor([48.0, 20.0, 4.0])) / torch.tensor(
        [25.0, 14.0, 7.0]
    )


class Arm(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.first = nn.Linear(9, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, 3)

    def forward(self, x):
        self.busy = torch.relu(self.second(torch.relu(self.first(x))))
        return self.last(self.busy)


@torch.no_grad()
def renew(model, share=0.4):
    """Units of the second layer that add least to the torques start anew."""
    worth = model.busy.mean(0) * model.last.weight.abs().sum(0)
    units = worth.argsort()[: int(share * len(worth))]
    fresh = nn.Linear(model.second.in_features, len(units))
    model.second.weight[units] = fresh.weight
    model.second.bias[units] = fresh.bias
    model.last.weight[:, units] = 0


model = Arm()
optimizer = torch.optim.Adam(model.parameters(), lr=7e-4)
loss_fn = nn.MSELoss()
recent = []

for step in range(1000):
    inputs, torques = moves(96)
    loss = loss_fn(model(inputs), torques)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    recent.append(loss.item())
    if step % 10 == 0:
        print(f"step {step}  loss {sum(recent) / len(recent):.5f}")
        recent.clear()
    if step >= args.after and step % args.every == 0:
        renew(model)
