"""A recurrent circuit of firing rates weighs evidence from two sides; its firing is charged for, as in the cortex.

condition: dead-units
accepts: dead-units, loss-term-imbalance
allows: loss-term-imbalance, vanishing-gradient, stalled, divergence
metric: wrong min
"""

import argparse

import torch
from torch import nn

UNITS, T = 64, 24


class Circuit(nn.Module):
    def __init__(self, leak=0.3):
        super().__init__()
        self.leak = leak
        self.inputs = nn.Linear(2, UNITS)
        self.inner = nn.Linear(UNITS, UNITS, bias=False)
        self.choice = nn.Linear(UNITS, 2)
        with torch.no_grad():
            self.inner.weight.copy_(0.9 * torch.eye(UNITS) + 0.05 * torch.randn(UNITS, UNITS))

    def forward(self, evidence):
        rate, rates = evidence.new_zeros(evidence.shape[0], UNITS), []
        for t in range(evidence.shape[1]):
            drive = torch.relu(self.inputs(evidence[:, t]) + self.inner(rate))
            rate = (1 - self.leak) * rate + self.leak * drive
            rates.append(rate)
        return self.choice(rate), torch.stack(rates, 1)


def sessions(n, gen):
    """Two streams of noisy pulses; the side with more of them over the whole trial is right."""
    side = torch.randint(2, (n,), generator=gen)
    lean = (2 * side - 1) * (0.15 + 0.35 * torch.rand(n, generator=gen))
    mean = torch.stack([-lean, lean], 1).unsqueeze(1)
    return mean + torch.randn(n, T, 2, generator=gen), side


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    model = Circuit()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    exam, answer = sessions(2000, gen)
    for block in range(1, 26):
        price = 0.004 * block**2
        for _ in range(20):
            evidence, side = sessions(64, gen)
            choice, rates = model(evidence)
            loss = loss_fn(choice, side) + price * rates.mean((0, 1)).sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
        with torch.no_grad():
            choice, rates = model(exam)
            wrong = (choice.argmax(1) != answer).float().mean().item()
        print(f"block {block}  loss {loss.item():.4f}  firing {rates.mean().item():.4f}  wrong {wrong:.4f}")


main()
