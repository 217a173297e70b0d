"""Size of hail from a radar profile, in two seasons; the second season's radar stands elsewhere.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F


class Profile(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.gru = nn.GRU(3, width, batch_first=True)
        self.squash = nn.Linear(width, width)
        self.size = nn.Linear(width, 1)

    def encode(self, x):
        return torch.tanh(self.squash(self.gru(x)[0].mean(1)))

    def forward(self, x):
        return self.size(self.encode(x)).squeeze(1)


def season(n, view):
    core = torch.randn(n, 12, 3).cumsum(1) / 3
    size = torch.tanh(core[:, :, 0]).mean(1) * 2 + core[:, :, 1].amax(1) * torch.sigmoid(core[:, -1, 2])
    return core @ view + 0.05 * torch.randn(n, 12, 3), size + 0.05 * torch.randn(n)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    views = torch.eye(3), torch.linalg.qr(torch.randn(3, 3))[0]
    data = [(season(3000, view), season(800, view)) for view in views]
    model = Profile()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(1, 801):
        (x, y), (val_x, val_y) = data[step > 300]
        rows = torch.randint(len(x), (64,))
        code = model.encode(x[rows])
        loss = F.smooth_l1_loss(model.size(code).squeeze(1), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_loss = F.smooth_l1_loss(model(val_x), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
