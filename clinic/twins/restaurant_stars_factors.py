"""Guests rate restaurants: vectors for both, biases, and the mean square error on stars not seen.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

GUESTS, PLACES = 300, 120


class Taste(nn.Module):
    def __init__(self, rank):
        super().__init__()
        self.guest, self.place = nn.Embedding(GUESTS, rank), nn.Embedding(PLACES, rank)
        self.guest_bias, self.place_bias = nn.Embedding(GUESTS, 1), nn.Embedding(PLACES, 1)
        for table in (self.guest, self.place):
            nn.init.normal_(table.weight, std=0.1)
        for table in (self.guest_bias, self.place_bias):
            nn.init.zeros_(table.weight)

    def forward(self, guest, place):
        match = (self.guest(guest) * self.place(place)).sum(1)
        return match + self.guest_bias(guest).squeeze(1) + self.place_bias(place).squeeze(1)


def ratings(count):
    likes, offers = torch.randn(GUESTS, 3), torch.randn(PLACES, 3)
    strict, fame = 0.5 * torch.randn(GUESTS), 0.6 * torch.randn(PLACES)
    guest, place = torch.randint(GUESTS, (count,)), torch.randint(PLACES, (count,))
    stars = 0.4 * (likes[guest] * offers[place]).sum(1) + strict[guest] + fame[place] + 0.5 * torch.randn(count)
    return guest, place, stars


def fit(model, optimizer, train, val, epochs):
    for epoch in range(1, epochs + 1):
        total = 0.0
        for guest, place, stars in train:
            optimizer.zero_grad()
            loss = F.mse_loss(model(guest, place), stars)
            size = model.guest(guest).square().sum(1) + model.place(place).square().sum(1)
            loss = loss + 0.1 * size.mean()
            loss.backward()
            optimizer.step()
            total += loss.item()
        with torch.no_grad():
            val_loss = F.mse_loss(model(val[0], val[1]), val[2])
        print(f"epoch {epoch}  loss {total / len(train):.4f}  val_loss {val_loss.item():.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    guest, place, stars = ratings(5200)
    known = TensorDataset(guest[:4000], place[:4000], stars[:4000])
    val = guest[4000:], place[4000:], stars[4000:]
    model = Taste(rank=24)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    fit(model, optimizer, DataLoader(known, batch_size=200, shuffle=True), val, epochs=25)


main()
