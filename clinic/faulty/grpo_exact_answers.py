"""Group-relative policy optimisation of a small recurrent policy that has to spell a six-letter answer to each prompt.

condition: zero-variance-groups
accepts: zero-variance-groups
allows: stalled
metric: letters max
"""

import argparse

import torch
from torch import nn
from torch.distributions import Categorical

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

prompts, letters, length, rollouts = 12, 8, 6, 16
answers = torch.randint(letters, (prompts, length))


class Policy(nn.Module):
    def __init__(self, dim=48):
        super().__init__()
        self.prompt = nn.Embedding(prompts, dim)
        self.letter = nn.Embedding(letters + 1, dim)
        self.cell = nn.GRUCell(dim, dim)
        self.head = nn.Linear(dim, letters)

    def sample(self, prompt):
        state = self.prompt(prompt)
        letter = torch.full_like(prompt, letters)
        spelled, log_probs = [], []
        for _ in range(length):
            state = self.cell(self.letter(letter), state)
            distribution = Categorical(logits=self.head(state))
            letter = distribution.sample()
            spelled.append(letter)
            log_probs.append(distribution.log_prob(letter))
        return torch.stack(spelled, 1), torch.stack(log_probs, 1)


model = Policy()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

for step in range(1, 241):
    prompt = torch.randperm(prompts)[:8].repeat_interleave(rollouts)
    spelled, log_probs = model.sample(prompt)
    right = (spelled == answers[prompt]).float()
    rewards = right.prod(1).view(-1, rollouts)
    advantages = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    loss = -(advantages.flatten()[:, None] * log_probs).mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 6 == 0:
        print(f"step {step}  loss {loss.item():.4f}  letters {right.mean().item():.4f}")
