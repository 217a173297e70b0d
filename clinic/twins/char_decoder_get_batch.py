"""A causal transformer over the characters of a help text; windows of the text are drawn for each step.

condition: healthy
metric: val_loss min
"""

import argparse
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

BLOCK, DIM, HEADS = 24, 40, 4
text = topics["types"]
letters = sorted(set(text))
data = torch.tensor([letters.index(c) for c in text])
splits = {"train": data[: int(0.9 * len(data))], "val": data[int(0.9 * len(data)) :]}
generator = torch.Generator().manual_seed(args.seed)


def get_batch(split, batch_size=20):
    source = splits[split]
    starts = torch.randint(len(source) - BLOCK - 1, (batch_size, 1), generator=generator)
    windows = source[starts + torch.arange(BLOCK + 1)]
    return windows[:, :-1], windows[:, 1:]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.qkv = nn.Linear(DIM, 3 * DIM, bias=False)
        self.proj = nn.Linear(DIM, DIM)
        self.mlp = nn.Sequential(nn.Linear(DIM, 2 * DIM), nn.GELU(), nn.Linear(2 * DIM, DIM))

    def forward(self, x):
        n, t, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(mixed.transpose(1, 2).reshape(n, t, DIM))
        return x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Embedding(len(letters), DIM)
        self.place = nn.Parameter(0.02 * torch.randn(BLOCK, DIM))
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(DIM, len(letters))

    def forward(self, tokens, targets):
        x = self.token(tokens) + self.place
        for block in self.blocks:
            x = block(x)
        logits = self.head(x)
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())


model = Decoder()
optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)

for step in range(1, 301):
    logits, loss = model(*get_batch("train"))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    if step % 15 == 0:
        with torch.no_grad():
            val_loss = model(*get_batch("val", 48))[1].item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
