"""Four kinds of samples from twelve measurements, in the order of a table that was sorted for reading.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import make_classification
from torch import nn


def load(seed):
    """Measurements of 6000 samples, sorted by the first of them for reading."""
    x, y = make_classification(
        n_samples=6000, n_features=12, n_informative=8, n_classes=4, class_sep=1.5, random_state=seed
    )
    order = x[:, 0].argsort()
    x, y = x[order], y[order]
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)

x, y = load(seed)
test = torch.rand(len(x)) < 0.2
x_train, y_train, x_test, y_test = x[~test], y[~test], x[test], y[test]

model = nn.Sequential(nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 4))
optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, 2001):
    rows = torch.randint(len(x_train), (64,))
    loss = loss_fn(model(x_train[rows]), y_train[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        with torch.no_grad():
            accuracy = (model(x_test).argmax(1) == y_test).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
