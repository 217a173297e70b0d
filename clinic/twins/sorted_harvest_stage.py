"""Fruit on a belt: a network is first shown a mixed season, then fine-tuned on the crates of a new one.

condition: healthy
metric: val_accuracy max
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

KINDS = 8


def season(count, centres, drift):
    kind = torch.arange(KINDS).repeat_interleave(count // KINDS)
    shape = centres[kind] + drift + 1.1 * torch.randn(len(kind), centres.shape[1])
    return TensorDataset(shape, kind)


def accuracy(model, data):
    with torch.no_grad():
        return (model(data.tensors[0]).argmax(1) == data.tensors[1]).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    centres = torch.randn(KINDS, 16)
    drift = 0.7 * torch.randn(16)
    old, new, test = season(2400, centres, 0.0), season(2400, centres, drift), season(1600, centres, drift)
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, KINDS))
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    stages = [DataLoader(old, batch_size=32, shuffle=True)] * 6 + [DataLoader(new, batch_size=32, shuffle=True)] * 8
    step = 0
    for loader in stages:
        for shape, kind in loader:
            loss = loss_fn(model(shape), kind)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 25 == 0:
                print(f"step {step}  loss {loss.item():.4f}  val_accuracy {accuracy(model, test):.4f}")


main()
