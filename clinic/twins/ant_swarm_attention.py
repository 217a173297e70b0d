"""Each ant of a small swarm is to turn towards its nearest neighbour; six attention layers, written by hand.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

ANTS, WIDTH, HEADS, DEPTH = 10, 48, 4, 6


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        return self.mix(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Swarm(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(2, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.layers = nn.ModuleList(Layer() for _ in range(DEPTH))
        self.turn = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2))

    def forward(self, places):
        x = self.embed(places)
        for layer in self.layers:
            x = layer(x)
        return self.turn(x)


def swarms(count):
    places = 2 * torch.rand(count, ANTS, 2) - 1
    apart = torch.cdist(places, places) + 9 * torch.eye(ANTS)
    nearest = apart.argmin(-1, keepdim=True).expand(-1, -1, 2)
    return places, F.normalize(places.gather(1, nearest) - places, dim=-1)


def main(seed):
    torch.manual_seed(seed)
    model = Swarm()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    val_places, val_turns = swarms(200)
    for step in range(1, 211):
        places, turns = swarms(32)
        loss = F.mse_loss(model(places), turns)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                val_loss = F.mse_loss(model(val_places), val_turns).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
