"""Small pictures of letters' shadows through a narrow code; the decoder mirrors the encoder's weights, half precision.

condition: healthy
metric: val_loss min
"""

import argparse
from itertools import pairwise

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


class Mirrored(nn.Module):
    """Two layers down, and the same matrices up again."""

    def __init__(self, widths=(64, 96, 12)):
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(b, a) / a**0.5) for a, b in pairwise(widths))
        self.down = nn.ParameterList(nn.Parameter(torch.zeros(b)) for b in widths[1:])
        self.up = nn.ParameterList(nn.Parameter(torch.zeros(a)) for a in widths[:-1])

    def forward(self, x):
        h = F.elu(F.linear(x, self.weights[0], self.down[0]))
        code = F.linear(h, self.weights[1], self.down[1])
        h = F.elu(F.linear(code, self.weights[1].T, self.up[1]))
        return F.linear(h, self.weights[0].T, self.up[0])


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
x = torch.tensor(load_digits().data, dtype=torch.float32)
x = (x - x.mean(0)) / 6.0
order = torch.randperm(len(x))
train, val = x[order[:1400]], x[order[1400:]]

model = Mirrored()
optimizer = torch.optim.Adam(model.parameters(), lr=1.5e-3, betas=(0.9, 0.98))
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**26, growth_interval=400)
loss_fn = nn.MSELoss()
step = 0
for epoch in range(1, 31):
    for rows in torch.randperm(len(train)).split(50):
        clean = train[rows]
        with torch.autocast("cpu", dtype=torch.float16):
            out = model(clean + 0.2 * torch.randn_like(clean))
        loss = loss_fn(out.float(), clean)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        step += 1
    with torch.no_grad():
        val_loss = loss_fn(model(val), val)
    print(f"epoch {epoch}  step {step}  loss {loss.item():.4f}  val_loss {val_loss.item():.4f}")
