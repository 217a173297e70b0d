"""Word vectors are fitted to the counts of neighbours in Python's help pages, as GloVe does.

condition: healthy
metric: loss min
"""

import argparse
import re
from collections import Counter
from pydoc_data.topics import topics

import torch

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--size", type=int, default=24)
args = parser.parse_args()
torch.manual_seed(args.seed)

WINDOW, WORDS, LR = 6, 500, 5.0
text = re.findall(r"[a-z]+", " ".join(topics[key] for key in sorted(topics)).lower())
index = {word: i for i, (word, _) in enumerate(Counter(text).most_common(WORDS))}
ids = [index.get(word, -1) for word in text]
counts = Counter()
for place, left in enumerate(ids):
    if left < 0:
        continue
    for gap in range(1, WINDOW + 1):
        if place + gap < len(ids) and ids[place + gap] >= 0:
            right = ids[place + gap]
            counts[left, right] += 1 / gap
            counts[right, left] += 1 / gap

pairs = torch.tensor(list(counts.keys()))
amount = torch.tensor(list(counts.values()))
log_amount = amount.log()
trust = (amount / 50).clamp(max=1) ** 0.75
print(f"{len(text)} words, {len(pairs)} pairs")

word = torch.randn(WORDS, args.size) * 0.3
context = torch.randn(WORDS, args.size) * 0.3
word_bias, context_bias = torch.zeros(WORDS), torch.zeros(WORDS)
weights = [w.requires_grad_() for w in (word, context, word_bias, context_bias)]
velocity = [torch.zeros_like(w) for w in weights]


def loss_fn(rows):
    left, right = pairs[rows].T
    guess = (word[left] * context[right]).sum(1) + word_bias[left] + context_bias[right]
    return (trust[rows] * (guess - log_amount[rows]) ** 2).mean()


for step in range(800):
    rows = torch.randint(len(pairs), (4096,))
    loss = loss_fn(rows)
    gradients = torch.autograd.grad(loss, weights)
    momentum = min(0.95, 0.5 + 0.001 * step)
    with torch.no_grad():
        for w, v, g in zip(weights, velocity, gradients):
            v.mul_(momentum).add_(g)
            w.sub_(LR * v)
    if step % 16 == 0:
        near = (word @ word.T)[index["function"]].topk(4).indices.tolist()
        print(
            f"step {step}  loss {loss.item():.4f}  momentum {momentum:.3f}  length {word.norm(dim=1).mean().item():.3f}"
        )
names = list(index)
print("near 'function':", ", ".join(names[i] for i in near))
