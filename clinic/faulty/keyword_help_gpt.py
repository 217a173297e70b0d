"""A small decoder learns to write like the help pages of Python, letter by letter.

condition: overfitting
accepts: overfitting
allows: naive-loss-minimisation
metric: val_loss min
"""

import argparse
from pydoc_data.topics import topics

import torch
import torch.nn as nn
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

# hyperparameters
batch_size = 16
block_size = 48
n_embd = 64
n_head = 4
n_layer = 2
learning_rate = 2e-3
max_iters = 900
eval_interval = 45
chapters = sorted(topics)[:3]
# ------------

held_out = "".join(topics[name] for name in sorted(topics)[-8:])
text = "".join(topics[name] for name in chapters)
chars = sorted(set("".join(topics.values())))
stoi = {c: i for i, c in enumerate(chars)}
train_data = torch.tensor([stoi[c] for c in text])
val_data = torch.tensor([stoi[c] for c in held_out])


def get_batch(data, count):
    ix = torch.randint(len(data) - block_size, (count,))
    x = torch.stack([data[i : i + block_size] for i in ix])
    y = torch.stack([data[i + 1 : i + block_size + 1] for i in ix])
    return x, y


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)
        self.attn = nn.Linear(n_embd, 3 * n_embd, bias=False)
        self.proj = nn.Linear(n_embd, n_embd)
        self.mlp = nn.Sequential(nn.Linear(n_embd, 4 * n_embd), nn.GELU(), nn.Linear(4 * n_embd, n_embd))

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.attn(self.ln1(x)).view(B, T, 3, n_head, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(B, T, C))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(len(chars), n_embd)
        self.wpe = nn.Embedding(block_size, n_embd)
        self.blocks = nn.Sequential(*[Block() for _ in range(n_layer)])
        self.ln_f = nn.LayerNorm(n_embd)
        self.lm_head = nn.Linear(n_embd, len(chars), bias=False)
        nn.init.normal_(self.wte.weight, std=0.1)
        nn.init.normal_(self.wpe.weight, std=0.1)

    def forward(self, idx):
        x = self.wte(idx) + self.wpe(torch.arange(idx.shape[1]))
        return self.lm_head(self.ln_f(self.blocks(x)))


def loss_of(model, x, y):
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


model = GPT()
optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.99))
probe = get_batch(val_data, 96)
for it in range(1, max_iters + 1):
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * min(1.0, it / 50)
    loss = loss_of(model, *get_batch(train_data, batch_size))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    if it % eval_interval == 0:
        with torch.no_grad():
            print(f"step {it}  loss {loss.item():.4f}  val_loss {loss_of(model, *probe).item():.4f}")
