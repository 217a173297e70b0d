"""A camera's and a radar's view of the same scene are embedded side by side; the temperature cools during training.

condition: healthy
metric: missed min
"""

import argparse

import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

SCENES, CAMERA, RADAR, OBJECTS = 3000, 40, 24, 8


class World:
    def __init__(self):
        self.to_camera = torch.randn(OBJECTS, CAMERA)
        self.to_radar = torch.randn(OBJECTS, RADAR)
        self.bend = torch.randn(OBJECTS, CAMERA)

    def look(self, n):
        z = torch.randn(n, OBJECTS)
        camera = torch.tanh(z @ self.to_camera / 2) + 0.3 * (z**2 - 1) @ self.bend / 4 + 0.12 * torch.randn(n, CAMERA)
        radar = torch.sin(z @ self.to_radar / 2.5) + 0.12 * torch.randn(n, RADAR)
        return camera, radar


def encoder(inputs, width=96, out=16):
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, out))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.camera, self.radar = encoder(CAMERA), encoder(RADAR)

    def forward(self, camera, radar):
        return normalize(self.camera(camera), dim=-1), normalize(self.radar(radar), dim=-1)


def contrast(a, b, temperature):
    logits = a @ b.T / temperature
    target = torch.arange(len(a))
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    world = World()
    camera, radar = world.look(SCENES)
    val_camera, val_radar = world.look(400)
    model = Pair()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=0.05)
    for step in range(1, 1201):
        temperature = max(0.3 * 0.994**step, 0.08)
        rows = torch.randint(SCENES, (48,))
        loss = contrast(*model(camera[rows], radar[rows]), temperature)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            with torch.no_grad():
                a, b = model(val_camera, val_radar)
                missed = ((a @ b.T).argmax(1) != torch.arange(len(a))).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  missed {missed:.4f}")


if __name__ == "__main__":
    main()
