"""Will a visitor click? Embeddings of user, advert and hour go through a network; log loss on other days.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

USERS, ADVERTS, HOURS = 1500, 300, 24


class ClickLog:
    """Tastes of users and adverts live in two dimensions; a click has also to do with the hour."""

    def __init__(self):
        self.user, self.advert = torch.randn(USERS, 2), torch.randn(ADVERTS, 2)
        self.bias = 0.7 * torch.randn(ADVERTS)

    def draw(self, count):
        user, advert = torch.randint(USERS, (count,)), torch.randint(ADVERTS, (count,))
        hour = torch.randint(HOURS, (count,))
        score = 0.5 * (self.user[user] * self.advert[advert]).sum(1) + self.bias[advert] - 1
        score = score + 0.8 * torch.sin(2 * torch.pi * hour / HOURS)
        return {"user": user, "advert": advert, "hour": hour, "click": torch.bernoulli(score.sigmoid())}


class ClickNet(nn.Module):
    def __init__(self, dim):
        super().__init__()
        sizes = {"user": USERS, "advert": ADVERTS, "hour": HOURS}
        self.tables = nn.ModuleDict({name: nn.Embedding(size, dim) for name, size in sizes.items()})
        for table in self.tables.values():
            nn.init.normal_(table.weight, std=0.1)
        self.net = nn.Sequential(nn.Linear(3 * dim, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, batch):
        return self.net(torch.cat([table(batch[name]) for name, table in self.tables.items()], 1)).squeeze(1)


def evaluate(model, days):
    model.eval()
    with torch.no_grad():
        loss = F.binary_cross_entropy_with_logits(model(days), days["click"]).item()
    model.train()
    return loss


def main(seed):
    torch.manual_seed(seed)
    log = ClickLog()
    train, val = log.draw(12000), log.draw(4000)
    model = ClickNet(dim=4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=8.0)
    step = 0
    for _ in range(12):
        for rows in torch.randperm(12000).split(256):
            batch = {name: column[rows] for name, column in train.items()}
            loss = F.binary_cross_entropy_with_logits(model(batch), batch["click"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 20 == 0:
                print(f"step {step}  loss {loss.item():.4f}  val_loss {evaluate(model, val):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
