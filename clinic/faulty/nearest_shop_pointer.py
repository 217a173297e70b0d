"""A pointer network points at the open shop that is quickest to reach.

condition: double-softmax
accepts: double-softmax
allows: stalled, vanishing-gradient, learning-rate-too-low, saturated-units, softmax-collapse, attention-logit-growth,
  naive-loss-minimisation, output-logit-divergence
metric: accuracy max
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

SHOPS = 40


def town(n):
    """Shops (place, open or not, queue) and the place of the customer; a river at 0 has to be walked round."""
    place = torch.rand(n, SHOPS, 2) * 2 - 1
    is_open = (torch.rand(n, SHOPS) < 0.7).float()
    queue = torch.rand(n, SHOPS)
    home = torch.rand(n, 2) * 2 - 1
    way = (place - home[:, None]).abs().sum(-1)
    river = (place[..., 0] * home[:, None, 0] < 0).float() * 0.5
    time = way + river + 0.5 * queue + 10 * (1 - is_open)
    return torch.cat([place, is_open[..., None], queue[..., None]], -1), home, time.argmin(1)


class Pointer(nn.Module):
    def __init__(self, width=40):
        super().__init__()
        self.shop = nn.Linear(4, width)
        self.home = nn.Linear(2, width)
        self.mix = nn.Sequential(nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.Tanh())
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, shops, home):
        """How much the customer attends to each shop."""
        scores = self.score(self.mix(self.shop(shops) + self.home(home).unsqueeze(1))).squeeze(-1)
        attention = scores.softmax(1)
        return attention


model = Pointer()
optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()
test_shops, test_home, test_nearest = town(300)

for step in range(900):
    shops, home, nearest = town(48)
    loss = loss_fn(model(shops, home), nearest)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 30 == 0:
        with torch.no_grad():
            accuracy = (model(test_shops, test_home).argmax(1) == test_nearest).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.3f}")
