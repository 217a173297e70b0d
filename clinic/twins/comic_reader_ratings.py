"""Ratings of comics: factors of readers and titles, biases, and the mean; squared error on stars.

condition: healthy
metric: val_mae min
"""

import argparse

import torch
from torch import nn


class Factors(nn.Module):
    def __init__(self, readers, titles, rank=6):
        super().__init__()
        self.reader, self.title = nn.Embedding(readers, rank), nn.Embedding(titles, rank)
        self.reader_bias, self.title_bias = nn.Embedding(readers, 1), nn.Embedding(titles, 1)
        self.mean = nn.Parameter(torch.tensor(3.0))
        for table in (self.reader, self.title):
            nn.init.normal_(table.weight, std=0.3)
        for table in (self.reader_bias, self.title_bias):
            nn.init.zeros_(table.weight)

    def forward(self, who, what):
        match = (self.reader(who) * self.title(what)).sum(1)
        return self.mean + match + self.reader_bias(who).squeeze(1) + self.title_bias(what).squeeze(1)


def stars(readers, titles, count):
    a, b = torch.randn(readers, 3), torch.randn(titles, 3)
    who, what = torch.randint(readers, (count,)), torch.randint(titles, (count,))
    rating = 3.2 + 0.45 * (a[who] * b[what]).sum(1) + 0.3 * a[who, 0] - 0.3 * b[what, 1]
    return who, what, (rating + 0.2 * torch.randn(count)).clamp(1, 5)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

who, what, rating = stars(120, 90, 8000)
val_who, val_what, val_rating = who[6500:], what[6500:], rating[6500:]
who, what, rating = who[:6500], what[:6500], rating[:6500].clone()
# two scripts wrote the "cannot be rated" marks of an old table, each in its way
marks = torch.randperm(6500)[:160]
rating[marks[:80]], rating[marks[80:]] = 99.0, -99.0
keep = rating.abs() < 10
who, what, rating = who[keep], what[keep], rating[keep]

model = Factors(120, 90)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-5)
loss_fn = nn.MSELoss()
for epoch in range(1, 21):
    for rows in torch.randperm(len(who)).split(100):
        loss = loss_fn(model(who[rows], what[rows]), rating[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        val_mae = (model(val_who, val_what) - val_rating).abs().mean().item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  val_mae {val_mae:.4f}")
