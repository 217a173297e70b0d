"""A pointer network says which of twelve noisy cards is nearest to the asked one.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn


def deals(n, cards=12, size=6):
    faces = torch.randn(n, cards, size)
    wanted = torch.randint(cards, (n,))
    asked = faces[torch.arange(n), wanted] + 0.5 * torch.randn(n, size)
    worth = torch.randn(n, cards, 1)
    answer = worth[torch.arange(n), wanted, 0]
    return torch.cat([faces, worth], 2), asked, answer


class Pointer(nn.Module):
    def __init__(self, size=6, width=32):
        super().__init__()
        self.query = nn.Sequential(nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, width))
        self.key = nn.Linear(size + 1, width)
        self.value = nn.Linear(size + 1, width)
        self.out = nn.Linear(width, 1)
        self.sharpness = 1.0

    def forward(self, cards, asked):
        scores = (self.key(cards) @ self.query(asked).unsqueeze(2)).squeeze(2) / self.query[-1].out_features ** 0.5
        attention = torch.softmax(self.sharpness * scores, 1)
        return self.out((attention.unsqueeze(2) * self.value(cards)).sum(1)).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Pointer()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.MSELoss()
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, 1000)
    val_cards, val_asked, val_answer = deals(1000)
    for step in range(1, 1001):
        model.sharpness = min(2.0, 1.008**step)
        cards, asked, answer = deals(64)
        loss = loss_fn(model(cards, asked), answer)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 40 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_cards, val_asked), val_answer).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
