"""A causal transformer learns which bell strikes next in the changes that ringers ring.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

BELLS, ROWS, WIDTH = 6, 5, 48
# what each change does to the places of the row before it
METHODS = torch.tensor(
    [
        [[1, 0, 3, 2, 5, 4], [0, 2, 1, 4, 3, 5]],
        [[1, 0, 3, 2, 5, 4], [0, 1, 3, 2, 5, 4]],
        [[0, 2, 1, 4, 3, 5], [1, 0, 2, 3, 5, 4]],
    ]
)


def ring(count):
    """Rows of changes one after the other, from any first row, in one of three methods."""
    row = torch.rand(count, BELLS).argsort(1)
    method = METHODS[torch.randint(len(METHODS), (count,))]
    struck = [row]
    for change in range(ROWS - 1):
        row = row.gather(1, method[:, change % 2])
        struck.append(row)
    return torch.cat(struck, 1)


class Block(nn.Module):
    def __init__(self, heads=4):
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))
        self.heads = heads

    def forward(self, x):
        n, length, _ = x.shape
        q, k, v = self.qkv(self.before(x)).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(n, length, -1))
        return x + self.mlp(self.between(x))


class Ringer(nn.Module):
    def __init__(self):
        super().__init__()
        self.bell = nn.Embedding(BELLS, WIDTH)
        self.place = nn.Parameter(0.1 * torch.randn(ROWS * BELLS, WIDTH))
        self.blocks = nn.Sequential(Block(), Block())
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, BELLS)

    def forward(self, struck):
        return self.head(self.norm(self.blocks(self.bell(struck) + self.place[: struck.shape[1]])))


model = Ringer()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=400, pct_start=0.1)
loss_fn = nn.CrossEntropyLoss()
test = ring(256)

for step in range(400):
    struck = ring(32)
    following = struck.roll(-1, 1)
    logits = model(struck)[:, :-1]
    loss = loss_fn(logits.flatten(0, 1), following[:, :-1].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 16 == 0:
        with torch.no_grad():
            guess = model(test[:, :-1]).argmax(-1)
        accuracy = (guess == test[:, 1:])[:, 2 * BELLS :].float().mean()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy.item():.4f}")
