"""Eight deep networks vote on the grower of a wine; they are trained at once, with batched products.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

data = load_wine()
order = torch.randperm(len(data.target))
x = torch.tensor(StandardScaler().fit_transform(data.data), dtype=torch.float32)[order]
y = torch.tensor(data.target)[order]
train_x, train_y, test_x, test_y = x[:120], y[:120], x[120:], y[120:]

NETS, WIDTH, DEPTH, KINDS = 8, 32, 7, 3


def matrix(inputs, outputs):
    return (torch.randn(NETS, inputs, outputs) / inputs**0.5).requires_grad_(True)


sizes = [x.shape[1]] + [WIDTH] * DEPTH + [KINDS]
weights = [matrix(a, b) for a, b in zip(sizes, sizes[1:])]
biases = [torch.zeros(NETS, 1, b, requires_grad=True) for b in sizes[1:]]


def model(x):
    """Logits of every net: nets x samples x kinds."""
    h = x.expand(NETS, -1, -1)
    for w, b in zip(weights[:-1], biases[:-1]):
        h = torch.tanh(torch.baddbmm(b, h, w))
    return torch.baddbmm(biases[-1], h, weights[-1])


def loss_fn(logits, target):
    """Mean over all samples of all nets."""
    return F.cross_entropy(logits.flatten(0, 1), target.repeat(NETS))


optimizer = torch.optim.SGD(weights + biases, lr=0.1, momentum=0.9, weight_decay=1e-4)

for step in range(900):
    pick = torch.randint(len(train_y), (32,))
    loss = loss_fn(model(train_x[pick]), train_y[pick])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            votes = model(test_x).softmax(-1).mean(0)
            accuracy = (votes.argmax(1) == test_y).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.3f}")
