"""A policy learns to close brackets: it sees a stack of opened ones and answers with the closing ones, last first.

condition: healthy
metric: closed max
"""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F

KINDS, SLOTS, PROMPTS, GROUP = 7, 5, 16, 8


class Closer(nn.Module):
    """Answers all slots at once; an empty slot has a symbol of its own."""

    def __init__(self, dim=128):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(SLOTS * (KINDS + 1), dim),
            nn.GELU(),
            nn.Linear(dim, dim),
            nn.GELU(),
            nn.Linear(dim, SLOTS * KINDS),
        )

    def forward(self, stack):
        return self.net(F.one_hot(stack, KINDS + 1).float().flatten(1)).view(-1, SLOTS, KINDS).log_softmax(-1)


def stacks(n, lengths):
    """Opened brackets, the answers wanted, and which slots count."""
    length = torch.tensor(lengths)[torch.randint(len(lengths), (n,))]
    stack = torch.randint(KINDS, (n, SLOTS)).masked_fill(torch.arange(SLOTS) >= length[:, None], KINDS)
    position = (length[:, None] - 1 - torch.arange(SLOTS)).clamp(min=0)
    return stack, stack.gather(1, position), torch.arange(SLOTS) < length[:, None]


def reward_fn(answer, wanted, counts):
    return ((answer == wanted) & counts).sum(1) / counts.sum(1)


@torch.no_grad()
def examine(policy, stack, wanted, counts):
    return (policy(stack).argmax(-1) == wanted)[counts].float().mean().item()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    torch.manual_seed(ap.parse_args().seed)
    policy = Closer()
    optimizer = torch.optim.Adam(policy.parameters(), lr=2e-3)
    exam = stacks(600, [1, 2, SLOTS])
    lesson = lambda step: [1] if step <= 200 else [1, 2] if step <= 700 else [1, 2, SLOTS]
    for step in range(1, 1801):
        stack, wanted, counts = (t.repeat_interleave(GROUP, 0) for t in stacks(PROMPTS, lesson(step)))
        logp = policy(stack)
        answer = torch.distributions.Categorical(logits=logp.detach()).sample()
        reward = reward_fn(answer, wanted, counts).view(PROMPTS, GROUP)
        advantage = (reward - reward.mean(1, keepdim=True)) / (reward.std(1, keepdim=True) + 1e-4)
        chosen = (logp.gather(-1, answer[..., None]).squeeze(-1) * counts).sum(1)
        loss = -(advantage.flatten() * chosen).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 60 == 0:
            print(f"step {step}  reward {reward.mean().item():.3f}  closed {examine(policy, *exam):.4f}")


if __name__ == "__main__":
    main()
