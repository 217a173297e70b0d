"""Three kinds of iris from four measures: a small network of matrices, trained on ninety flowers at once; log-loss.

condition: naive-loss-minimisation
accepts: naive-loss-minimisation, softmax-collapse
allows: overfitting, output-logit-divergence
metric: val_score min
"""

import argparse
from itertools import pairwise

import numpy as np
import torch
from sklearn.datasets import load_iris

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)

data = load_iris()
order = np.random.default_rng(seed).permutation(len(data.target))
x = torch.tensor((data.data - data.data.mean(0)) / data.data.std(0), dtype=torch.float32)
x = torch.cat([x, x**2 - 1, x[:, :1] * x[:, 1:]], 1)
y = data.target
fit, check = order[:75], order[75:]

sizes = [x.shape[1], 64, 64, 3]
weights = [(torch.randn(a, b) * (2 / a) ** 0.5).requires_grad_() for a, b in pairwise(sizes)]
optimizer = torch.optim.Adam(weights, lr=5e-3)
onehot = torch.eye(3)[torch.tensor(y)]


def forward(h):
    for w in weights[:-1]:
        h = torch.einsum("nd,dk->nk", h, w).clamp_min(0)
    return torch.einsum("nd,dk->nk", h, weights[-1])


def cross_entropy(logits, target):
    return -(target * logits.log_softmax(1)).sum(1).mean()


def score(rows):
    with torch.no_grad():
        z = forward(x[rows]).double().numpy()
    z = z - z.max(1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    return -log_p[np.arange(len(rows)), y[rows]].mean()


for step in range(1, 801):
    loss = cross_entropy(forward(x[fit]), onehot[fit])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        print(f"step {step}  loss {loss.item():.2e}  val_score {score(check):.4f}")
