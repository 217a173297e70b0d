"""Cultivar of a wine from thirteen measurements of its chemistry, with a narrow network of nine layers.

condition: vanishing-gradient
accepts: vanishing-gradient
allows: stalled, off-critical-initialisation, saturated-units, learning-rate-too-low, epsilon-dominated-update
metric: val_loss min
"""

import argparse

import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def get_data(seed):
    x, y = load_wine(return_X_y=True)
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.3, stratify=y, random_state=seed)
    scaler = StandardScaler().fit(x_train)
    tensors = [torch.tensor(scaler.transform(a), dtype=torch.float32) for a in (x_train, x_val)]
    return tensors[0], torch.tensor(y_train), tensors[1], torch.tensor(y_val)


class WineNet(nn.Module):
    def __init__(self, n_in=13, n_hidden=20, n_layers=9, n_out=3):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(n_in if i == 0 else n_hidden, n_hidden) for i in range(n_layers)])
        self.out = nn.Linear(n_hidden, n_out)

    def forward(self, x):
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        return self.out(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=60)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x_train, y_train, x_val, y_val = get_data(args.seed)
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=16, shuffle=True)
    model = WineNet()
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.05)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-3)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total_iters=args.epochs)

    for epoch in range(args.epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
        scheduler.step()
        if (epoch + 1) % 3 == 0:
            with torch.no_grad():
                out = model(x_val)
                hits = (out.argmax(1) == y_val).float().mean().item()
                val_loss = loss_fn(out, y_val).item()
            print(f"epoch {epoch + 1}  loss {loss.item():.4f}  val_loss {val_loss:.4f}  hits {hits:.3f}")


main()
