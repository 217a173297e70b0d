"""Seven kinds of ore from sixteen lines of a spectrum; the table lists them kind by kind.

condition: healthy
metric: accuracy max
"""

import argparse

import numpy as np
import torch
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


def load_ores(seed):
    x, y = make_classification(
        2400, 16, n_informative=10, n_redundant=2, n_classes=7, n_clusters_per_class=1, class_sep=1.2, random_state=seed
    )
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, stratify=y, random_state=seed)
    by_kind = np.argsort(y_train, kind="stable")
    x_train, y_train = x_train[by_kind], y_train[by_kind]
    scaler = StandardScaler().fit(x_train)
    return scaler.transform(x_train), y_train, scaler.transform(x_test), y_test


def minibatches(x, y, size, rng=None):
    order = np.arange(len(x)) if rng is None else rng.permutation(len(x))
    for start in range(0, len(x), size):
        rows = order[start : start + size]
        yield torch.as_tensor(x[rows], dtype=torch.float32), torch.as_tensor(y[rows])


class OreNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(16, 64)
        self.fc2 = nn.Linear(64, 7)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    x_train, y_train, x_test, y_test = load_ores(seed)
    model = OreNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(1, 21):
        model.train()
        losses = []
        for x, y in minibatches(x_train, y_train, 50, np.random.default_rng(epoch)):
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            guess = model(torch.as_tensor(x_test, dtype=torch.float32)).argmax(1).numpy()
        print(f"epoch {epoch}  loss {np.mean(losses):.4f}  accuracy {(guess == y_test).mean():.4f}")


if __name__ == "__main__":
    main()
