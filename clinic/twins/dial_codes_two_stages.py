"""A policy learns by heart to dial the code of each department: two digits at first, then all six. GRPO.

condition: healthy
metric: digits_right max
"""

import argparse

import torch
from torch import nn

DEPARTMENTS, DIGITS, GROUP = 12, 10, 16


class Dialler(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.department = nn.Embedding(DEPARTMENTS, width)
        self.last = nn.Embedding(DIGITS + 1, width)
        self.cell = nn.GRUCell(width, width)
        self.head = nn.Linear(width, DIGITS)

    def dial(self, department, length, greedy=False):
        hidden = self.department(department)
        digit = torch.full_like(department, DIGITS)
        dialled, log_probs, entropy = [], [], 0.0
        for _ in range(length):
            hidden = self.cell(self.last(digit), hidden)
            choice = torch.distributions.Categorical(logits=self.head(hidden))
            digit = choice.logits.argmax(1) if greedy else choice.sample()
            dialled.append(digit)
            log_probs.append(choice.log_prob(digit))
            entropy = entropy + choice.entropy().mean() / length
        return torch.stack(dialled, 1), torch.stack(log_probs, 1), entropy


def judge(dialled, code):
    """What a call earns."""
    return (dialled == code).float().mean(1)


class GRPO:
    def __init__(self, lr=5e-3):
        self.codes = torch.randint(DIGITS, (DEPARTMENTS, 6))
        self.model = Dialler()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=lr)

    def step(self, length):
        asked = torch.randint(DEPARTMENTS, (24,)).repeat_interleave(GROUP)
        dialled, log_probs, entropy = self.model.dial(asked, length)
        reward = judge(dialled, self.codes[asked, :length]).view(-1, GROUP)
        centred = reward - reward.mean(1, keepdim=True)
        advantage = (centred / (reward.std(1, keepdim=True) + 1e-4)).view(-1, 1)
        loss = -(advantage * log_probs).mean() - 0.03 * entropy
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return reward.mean().item()

    @torch.no_grad()
    def exam(self, length):
        everyone = torch.arange(DEPARTMENTS)
        dialled, *_ = self.model.dial(everyone, length, greedy=True)
        return (dialled == self.codes[:, :length]).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    agent = GRPO()
    for step in range(1, 451):
        length = 2 if step <= 120 else 6
        reward = agent.step(length)
        if step % 15 == 0:
            print(f"step {step}  length {length}  reward {reward:.3f}  digits_right {agent.exam(length):.4f}")
