"""Digits and things that are none: a classifier whose free energy tells the two apart, in bfloat16 autocast.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn


def energy_term(real, other):
    inside, outside = real.logsumexp(1), other.logsumexp(1)
    return F.relu(6 - inside).square().mean() + F.relu(outside - 2).square().mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    data = load_digits()
    x, x_val, y, y_val = train_test_split(data.data / 8 - 1, data.target, test_size=400, random_state=seed)
    x, x_val = torch.tensor(x, dtype=torch.float32), torch.tensor(x_val, dtype=torch.float32)
    y, y_val = torch.tensor(y), torch.tensor(y_val)
    body = [nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.3)]
    net = nn.Sequential(*body, nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)
    for epoch in range(1, 31):
        net.train()
        for rows in torch.randperm(len(x)).split(64):
            clutter = x[rows][:, torch.randperm(64)]
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits, other = net(x[rows]).float(), net(clutter).float()
            loss = F.cross_entropy(logits, y[rows]) + 0.1 * energy_term(logits, other)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            val_loss = F.cross_entropy(net(x_val).float(), y_val).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
