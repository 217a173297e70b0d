"""Which department a claim's note goes to: the head alone first, then the trunk with it.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn

WORDS, LENGTH, KINDS = 200, 24, 8


def notes(count, rng, topics):
    """Tokens: half from a department's own words, half from all; a department is known by pairs of words."""
    kind = torch.randint(0, KINDS, (count,), generator=rng)
    own = topics[kind].gather(1, torch.randint(0, 25, (count, LENGTH), generator=rng))
    common = torch.randint(0, WORDS, (count, LENGTH), generator=rng)
    return torch.where(torch.rand(count, LENGTH, generator=rng) < 0.25, own, common), kind


class Sorter(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Embedding(WORDS, 24), nn.Flatten(0, 1), nn.Linear(24, 48), nn.ReLU(), nn.Unflatten(0, (-1, LENGTH))
        )
        self.head = nn.Sequential(nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, KINDS))

    def forward(self, tokens):
        return self.head(self.trunk(tokens).mean(1))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
rng = torch.Generator().manual_seed(seed)
topics = torch.stack([torch.randperm(WORDS, generator=rng)[:25] for _ in range(KINDS)])
test, truth = notes(1500, rng, topics)
model, loss_fn = Sorter(), nn.CrossEntropyLoss()

head_optimizer = torch.optim.Adam(model.head.parameters(), lr=3e-3)
full_optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
decay = torch.optim.lr_scheduler.LinearLR(full_optimizer, 1.0, 0.02, 550)
for step in range(1, 751):
    optimizer = head_optimizer if step <= 200 else full_optimizer
    tokens, kind = notes(64, rng, topics)
    loss = loss_fn(model(tokens), kind)
    model.zero_grad()
    loss.backward()
    optimizer.step()
    if step > 200:
        decay.step()
    if step % 25 == 0:
        with torch.no_grad():
            accuracy = (model(test).argmax(1) == truth).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
