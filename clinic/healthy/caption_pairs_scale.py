"""Pictures and their captions are brought together by two towers; one caption in ten belongs to another picture.

condition: healthy
metric: recall max
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

CONCEPTS, WORDS = 24, 120


class World:
    """A scene has a few concepts; the picture shows them mixed, the caption names most of them."""

    def __init__(self):
        self.look = torch.randn(CONCEPTS, 48) / 2
        self.speech = torch.softmax(2.5 * torch.randn(CONCEPTS, WORDS), dim=1)

    def scenes(self, count, wrong=0.0):
        there = torch.rand(count, CONCEPTS) * (torch.rand(count, CONCEPTS) < 0.2) + 1e-3
        picture = torch.tanh(there @ self.look * 2) + 0.1 * torch.randn(count, 48)
        heard = there[torch.where(torch.rand(count) < wrong, torch.randint(count, (count,)), torch.arange(count))]
        caption = torch.multinomial(heard / heard.sum(1, keepdim=True) @ self.speech, 16, replacement=True)
        return picture, caption


class Towers(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.picture = nn.Sequential(nn.Linear(48, 96), nn.GELU(), nn.Linear(96, width))
        self.words = nn.EmbeddingBag(WORDS, 96, mode="mean")
        self.caption = nn.Sequential(nn.LayerNorm(96), nn.Linear(96, 96), nn.GELU(), nn.Linear(96, width))
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, picture, caption):
        left = F.normalize(self.picture(picture), dim=1)
        right = F.normalize(self.caption(self.words(caption)), dim=1)
        return self.scale.exp().clamp(max=100) * left @ right.T


def contrastive(logits):
    same = torch.arange(len(logits))
    return (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=800)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    world = World()
    model = Towers()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)

    def rate(step):
        return min(step / 80, 0.5 + 0.5 * math.cos(math.pi * step / args.steps))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    exam = world.scenes(300)
    for step in range(1, args.steps + 1):
        loss = contrastive(model(*world.scenes(128, wrong=0.1)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 25 == 0:
            with torch.no_grad():
                found = model(*exam).topk(5, dim=1).indices == torch.arange(300).unsqueeze(1)
            print(f"step {step}  loss {loss.item():.4f}  recall {found.any(1).float().mean().item():.4f}")


if __name__ == "__main__":
    main()
