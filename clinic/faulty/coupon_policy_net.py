"""Which coupon to send to which customer: REINFORCE on the basket's value, in cents.

condition: softmax-collapse
accepts: softmax-collapse, learning-rate-too-high
allows: learning-rate-too-high, stalled, dead-units, saturated-units, zero-variance-groups, unsafe-step,
  loss-spike, divergence, output-logit-divergence
metric: basket max
"""

import argparse

import torch
from torch import nn
from torch.distributions import Categorical

COUPONS = 5


class Shop:
    def __init__(self, generator):
        self.generator = generator
        self.taste = torch.randn(COUPONS, 6, generator=torch.Generator().manual_seed(5))

    def customers(self, n):
        return torch.randn(n, 6, generator=self.generator)

    def value(self, customers):
        return 18 + 6 * torch.tanh(customers @ self.taste.T)

    def basket(self, customers, coupon):
        value = self.value(customers).gather(1, coupon[:, None]).squeeze(1)
        return 100 * (value + 2 * torch.randn(len(value), generator=self.generator)).clamp_min(0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    shop = Shop(torch.Generator().manual_seed(seed))
    model = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, COUPONS))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    test = shop.customers(2000)
    for step in range(1, 501):
        people = shop.customers(64)
        policy = Categorical(logits=model(people))
        coupon = policy.sample()
        reward = shop.basket(people, coupon)
        loss = -(policy.log_prob(coupon) * reward).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                basket = (model(test).softmax(1) * shop.value(test)).sum(1).mean().item()
            print(f"step {step}  loss {loss.item():.3f}  basket {basket:.4f}")


if __name__ == "__main__":
    main()
