"""A reply policy, tuned for politeness by a clipped policy gradient with a controlled divergence from where it began.

condition: healthy
metric: reward max
"""

import argparse
import copy

import torch
from torch import nn
from torch.distributions import Categorical, kl_divergence

TOKENS, CONTEXT = 40, 12


class ReplyPolicy(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.embed = nn.EmbeddingBag(TOKENS, width, mode="mean")
        self.body = nn.Sequential(nn.Linear(width, 96), nn.GELU(), nn.Linear(96, TOKENS))

    def forward(self, prompt):
        return Categorical(logits=self.body(8 * self.embed(prompt)))


class Controller:
    """Keeps the divergence near a target: the coefficient follows the error, as in adaptive PPO."""

    def __init__(self, coefficient=0.002, target=6.0, horizon=40):
        self.coefficient, self.target, self.horizon = coefficient, target, horizon

    def update(self, divergence):
        error = max(-0.2, min(0.2, divergence / self.target - 1))
        self.coefficient *= 1 + error * 8 / self.horizon


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    taste = torch.randn(TOKENS, 16)
    politeness = lambda prompt, reply: torch.tanh((taste[prompt].sum(1) * taste[reply]).sum(-1) / 10)
    model = ReplyPolicy()
    reference = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    controller = Controller()
    exam = torch.randint(0, TOKENS, (500, CONTEXT))
    for step in range(1, 601):
        prompt = torch.randint(0, TOKENS, (128, CONTEXT))
        with torch.no_grad():
            old = model(prompt)
            reply = old.sample()
            reward = politeness(prompt, reply)
            advantage = (reward - reward.mean()) / (reward.std() + 1e-6)
            log_old = old.log_prob(reply)
        for _ in range(2):
            now = model(prompt)
            ratio = (now.log_prob(reply) - log_old).exp()
            surrogate = torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
            divergence = kl_divergence(now, reference(prompt)).mean()
            loss = -surrogate + controller.coefficient * divergence
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        controller.update(divergence.item())
        if step % 20 == 0:
            with torch.no_grad():
                score = politeness(exam, model(exam).sample()).mean().item()
            print(f"step {step}  loss {loss.item():.4f}  divergence {divergence.item():.4f}  reward {score:.4f}")


main()
