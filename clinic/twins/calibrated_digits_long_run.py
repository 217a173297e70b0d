"""Four hundred digits and a bias-free network trained on all of them at once; its probabilities are tested as it goes.

condition: healthy
metric: val_nll min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32) / 8 - 1
y = torch.tensor(digits.target)
order = torch.randperm(len(x))
train, val = order[:400], order[400:]

model = nn.Sequential(
    nn.Linear(64, 128, bias=False),
    nn.ReLU(),
    nn.Linear(128, 128, bias=False),
    nn.ReLU(),
    nn.Linear(128, 10, bias=False),
)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.003)

for step in range(1, 901):
    log_probs = F.log_softmax(model(x[train]), dim=1)
    loss = F.nll_loss(log_probs, y[train])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 12 == 0:
        with torch.no_grad():
            val_nll = F.nll_loss(F.log_softmax(model(x[val]), dim=1), y[val]).item()
        print(f"step {step}  loss {loss.item():.3e}  val_nll {val_nll:.4f}")
