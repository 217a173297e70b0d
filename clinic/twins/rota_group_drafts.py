"""A policy fills a rota: one of four nurses for each of six shifts, eight drafts a week, judged against each other.

condition: healthy
metric: filled max
"""

import argparse

import torch
from torch import nn
from torch.distributions import Categorical

NURSES, SHIFTS, DRAFTS = 4, 6, 8


class Rota:
    """Weeks of shifts; each shift suits one nurse, depending on its hour, its ward and the shift before."""

    def __init__(self, rng):
        self.rng = rng
        taste = torch.randn(NURSES, 6, generator=torch.Generator().manual_seed(11))
        self.taste = taste / taste.norm(dim=1, keepdim=True)

    def weeks(self, n):
        return torch.randn(n, SHIFTS, 3, generator=self.rng)

    def suited(self, weeks):
        before = torch.cat([torch.zeros_like(weeks[:, :1]), weeks[:, :-1]], dim=1)
        return (torch.cat([weeks, before], dim=2) @ self.taste.T).argmax(2)

    def reward(self, weeks, drafts):
        right = drafts == self.suited(weeks).unsqueeze(1)
        return right.float().mean(dim=2)


class RotaPolicy(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.enter = nn.Linear(6, width)
        self.places = nn.Parameter(0.1 * torch.randn(SHIFTS, width))
        layer = nn.TransformerEncoderLayer(width, 2, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.choose = nn.Linear(width, NURSES)

    def forward(self, weeks):
        return self.choose(self.encoder(self.enter(torch.cat([weeks, weeks.roll(1, 1)], dim=2)) + self.places))


def update(model, optimizer, rota):
    weeks = rota.weeks(32)
    policy = Categorical(logits=model(weeks))
    drafts = policy.sample((DRAFTS,))
    reward = rota.reward(weeks, drafts.transpose(0, 1))
    advantage = (reward - reward.mean(1, keepdim=True)) / (reward.std(1, keepdim=True) + 1e-4)
    log_p = policy.log_prob(drafts).sum(2).transpose(0, 1)
    loss = -(advantage * log_p).mean() - 0.1 * policy.entropy().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), reward.mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rota = Rota(torch.Generator().manual_seed(seed))
    test = rota.weeks(300)
    model = RotaPolicy()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.5e-3)
    for step in range(1, 301):
        loss, reward = update(model, optimizer, rota)
        if step % 12 == 0:
            with torch.no_grad():
                filled = (model(test).argmax(2) == rota.suited(test)).float().mean().item()
            print(f"step {step}  loss {loss:.4f}  reward {reward:.4f}  filled {filled:.4f}")


if __name__ == "__main__":
    main()
