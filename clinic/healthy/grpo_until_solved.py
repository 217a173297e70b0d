"""GRPO on short answers: rewards differ within groups until the policy has solved its prompts, and then no more.

condition: healthy
infos: zero-variance-groups
metric: reward max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

prompts, symbols, length, rollouts = 10, 5, 3, 12
answers = torch.randint(symbols, (prompts, length))


class Policy(nn.Module):
    def __init__(self, dim=48):
        super().__init__()
        self.embedding = nn.Embedding(prompts, dim)
        self.body = nn.Sequential(nn.Linear(dim, 64), nn.ReLU(), nn.Linear(64, length * symbols))

    def forward(self, prompt):
        return self.body(self.embedding(prompt)).view(-1, length, symbols)


model = Policy()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

for step in range(1, 301):
    prompt = torch.randint(prompts, (6,)).repeat_interleave(rollouts)
    log_probs = F.log_softmax(model(prompt), dim=2)
    with torch.no_grad():
        answer = torch.multinomial(log_probs.flatten(0, 1).exp(), 1).view(-1, length)
        rewards = (answer == answers[prompt]).float().mean(1).view(-1, rollouts)
        advantages = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    chosen = log_probs.gather(2, answer.unsqueeze(2)).squeeze(2).sum(1)
    loss = -(advantages.flatten() * chosen).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        print(f"step {step}  loss {loss.item():.4f}  reward {rewards.mean().item():.4f}")
