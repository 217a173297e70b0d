"""Five clinics train one tumour classifier without sharing their patients: local rounds, then an average of weights.

condition: healthy
metric: val_loss min
"""

import argparse
import copy

import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import nn


def network():
    return nn.Sequential(nn.Linear(30, 24), nn.Tanh(), nn.Dropout(0.2), nn.Linear(24, 2))


def split_by_clinic(x, y, clinics=5):
    """Each clinic sees its own mixture of large and small tumours."""
    rank = (x[:, 0] + 1.5 * torch.randn(len(x))).argsort()
    return [(x[part], y[part]) for part in rank.chunk(clinics)]


def local_round(server, x, y, rate, passes=2):
    model = copy.deepcopy(server)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, weight_decay=2e-3)
    for _ in range(passes):
        for rows in torch.randperm(len(x)).split(16):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model.state_dict(), len(x)


def average(replies):
    total = sum(count for _, count in replies)
    return {key: sum(state[key] * (count / total) for state, count in replies) for key in replies[0][0]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, y = load_breast_cancer(return_X_y=True)
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.35, random_state=3, stratify=y)
    mean, std = x.mean(0), x.std(0)
    x, x_val = (torch.tensor((a - mean) / std, dtype=torch.float32) for a in (x, x_val))
    y, y_val = torch.tensor(y), torch.tensor(y_val)
    clinics = split_by_clinic(x, y)
    server = network()
    rounds = 30
    for turn in range(1, rounds + 1):
        rate = 0.1 * (1 - (turn - 1) / rounds)
        present = torch.randperm(5)[:4].tolist()
        server.load_state_dict(average([local_round(server, *clinics[k], rate) for k in present]))
        server.eval()
        with torch.no_grad():
            logits = server(x_val)
        wrong = (logits.argmax(1) != y_val).float().mean().item()
        print(f"round {turn}  val_loss {F.cross_entropy(logits, y_val).item():.4f}  val_error {wrong:.4f}")


if __name__ == "__main__":
    main()
