"""A contextual bandit over digits: the policy guesses the class of an image eight times and learns from right or wrong.

condition: healthy
metric: reward max
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
images = torch.tensor(digits.data, dtype=torch.float32) / 8 - 1
labels = torch.tensor(digits.target)
guesses = 8
temperature = 1.0

model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

smooth = 0.1
for step in range(1, 401):
    batch = torch.randint(len(images), (32,))
    logits = model(images[batch])
    with torch.no_grad():
        actions = torch.multinomial(F.softmax(logits / temperature, dim=1), guesses, replacement=True)
        rewards = (actions == labels[batch, None]).float()
        advantages = rewards - rewards.mean(1, keepdim=True)
    log_probs = F.log_softmax(logits, dim=1).gather(1, actions)
    loss = -(advantages * log_probs).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    smooth = 0.9 * smooth + 0.1 * rewards.mean().item()
    if step % 10 == 0:
        print(f"step {step}  loss {loss.item():.5f}  reward {smooth:.4f}")
