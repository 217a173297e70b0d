"""Knowledge distillation: a small student follows a teacher in evaluation mode; the divergence is tiny from early on.

condition: healthy
metric: agreement max
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
train, val = order[:1300], order[1300:]

teacher = nn.Sequential(nn.Linear(64, 160), nn.ReLU(), nn.Dropout(0.2), nn.Linear(160, 10))
schooling = torch.optim.Adam(teacher.parameters(), lr=2e-3)
for _ in range(200):
    batch = train[torch.randint(len(train), (64,))]
    schooling.zero_grad()
    F.cross_entropy(teacher(x[batch]), y[batch]).backward()
    schooling.step()
teacher.eval()
for parameter in teacher.parameters():
    parameter.requires_grad_(False)

model = nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
temperature = 4.0

for step in range(1, 401):
    batch = x[train[torch.randint(len(train), (64,))]]
    target = F.softmax(teacher(batch) / temperature, dim=1)
    loss = F.kl_div(F.log_softmax(model(batch) / temperature, dim=1), target, reduction="batchmean")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            agreement = (model(x[val]).argmax(1) == teacher(x[val]).argmax(1)).float().mean().item()
        print(f"step {step}  loss {loss.item():.5f}  agreement {agreement:.4f}")
