"""A Q-network learns how many crates to order for a shelf; its target network follows now and then.

condition: healthy
metric: profit max
"""

import argparse
import copy

import torch
from torch import nn

ORDERS, SHELF = 5, 10


class Shelves:
    """Many shelves side by side: stock, day of the week; demand is higher at the week's end."""

    def __init__(self, count):
        self.stock = torch.randint(SHELF + 1, (count,))
        self.day = torch.randint(7, (count,))

    def state(self):
        angle = self.day * 6.2832 / 7
        return torch.stack([self.stock / SHELF * 2 - 1, angle.sin(), angle.cos()], 1)

    def act(self, order):
        demand = torch.poisson(1.5 + 2.0 * (self.day >= 5).float()).long()
        full = (self.stock + order).clamp_max(SHELF)
        sold = torch.minimum(full, demand)
        self.stock, self.day = full - sold, (self.day + 1) % 7
        return 0.5 * sold - 0.2 * order - 0.06 * self.stock - 0.3 * (demand - sold)


@torch.no_grad()
def profit_of(model, days=21):
    shelves = Shelves(200)
    return sum(shelves.act(model(shelves.state()).argmax(1)).mean().item() for _ in range(days)) / days


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, ORDERS))
    target = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_fn = nn.SmoothL1Loss()
    shelves = Shelves(64)
    for step in range(1, 901):
        state = shelves.state()
        with torch.no_grad():
            order = model(state).argmax(1)
        explore = torch.rand(64) < max(0.1, 1 - step / 400)
        order = torch.where(explore, torch.randint(ORDERS, (64,)), order)
        reward = shelves.act(order)
        with torch.no_grad():
            goal = reward + 0.8 * target(shelves.state()).amax(1)
        loss = loss_fn(model(state).gather(1, order[:, None]).squeeze(1), goal)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            target.load_state_dict(model.state_dict())
        if step % 45 == 0:
            print(f"step {step}  loss {loss.item():.4f}  profit {profit_of(model):.4f}")


if __name__ == "__main__":
    main()
