"""A policy sorts parcels into chutes, learning from groups of answers to each parcel.

condition: zero-variance-groups
accepts: zero-variance-groups
allows: stalled, softmax-collapse, vanishing-gradient, learning-rate-too-low
metric: score max
"""

import argparse

import torch
from torch import nn

CHUTES, GROUP = 12, 8


def parcels(n):
    size = torch.rand(n, 3)
    chute = (size[:, 0] * 4).long().clamp_max(3) * 3 + (2 * size[:, 1] + size[:, 2]).long().clamp_max(2)
    return 2 * size - 1, chute


def advantages(reward):
    return (reward - reward.mean(1, keepdim=True)) / (reward.std(1, keepdim=True) + 1e-4)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, CHUTES))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    val_size, val_chute = parcels(2000)
    temperature = 1.0
    for step in range(1, 601):
        size, chute = parcels(32)
        logits = model(size)
        with torch.no_grad():
            odds = torch.softmax(logits / temperature, 1)
            answers = torch.multinomial(odds, GROUP, replacement=True)
            reward = (answers == chute.unsqueeze(1)).float()
            advantage = advantages(reward)
        logp = (logits / temperature).log_softmax(1).gather(1, answers)
        loss = -(advantage * logp).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        temperature = max(0.02, temperature * 0.97)
        if step % 24 == 0:
            with torch.no_grad():
                score = (model(val_size).argmax(1) == val_chute).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  score {score:.4f}")


if __name__ == "__main__":
    main()
