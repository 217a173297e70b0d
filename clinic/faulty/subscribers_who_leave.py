"""Which subscribers of a telephone company leave within the quarter; a network on their table of numbers.

condition: overfitting
accepts: overfitting
allows: loss-spike
metric: val_loss min
"""

import argparse

import torch
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset


class ChurnNet(nn.Module):
    def __init__(self, columns, hidden=(128, 64)):
        super().__init__()
        layers, before = [], columns
        for width in hidden:
            layers += [nn.Linear(before, width), nn.ReLU()]
            before = width
        self.layers = nn.Sequential(*layers, nn.Linear(before, 1))

    def forward(self, x):
        return self.layers(x).squeeze(-1)


def tables(seed):
    x, y = make_classification(
        9000, 30, n_informative=10, n_redundant=6, n_clusters_per_class=3, flip_y=0.08, class_sep=0.9, random_state=seed
    )
    x, x_val, y, y_val = train_test_split(x, y, test_size=1500, random_state=seed, stratify=y)
    scaler = StandardScaler().fit(x)
    pack = lambda a, b: TensorDataset(torch.tensor(scaler.transform(a)).float(), torch.tensor(b).float())
    return pack(x, y), pack(x_val, y_val)


def run(seed):
    torch.manual_seed(seed)
    train, val = tables(seed)
    train = Subset(train, range(len(train) // 10))
    loader = DataLoader(train, batch_size=30, shuffle=True)
    model = ChurnNet(30)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.02)
    loss_fn = nn.BCEWithLogitsLoss()
    x_val, y_val = val.tensors
    step, total = 0, 0.0
    while True:
        for x, y in loader:
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            total += loss.item()
            if step % 40 == 0:
                with torch.no_grad():
                    val_loss = loss_fn(model(x_val), y_val).item()
                print(f"step {step}  loss {total / 40:.4f}  val_loss {val_loss:.4f}")
                total = 0.0
            if step == 1000:
                return


if __name__ == "__main__":
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    run(cli.parse_args().seed)
