"""A small vision transformer on 8x8 digits, AdamW with a linear warm-up from zero and a cosine decay.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32) / 16 - 0.3
labels = torch.tensor(digits.target)
order = torch.randperm(len(images))
train, val = order[:1500], order[1500:]
generator = torch.Generator().manual_seed(args.seed)
loader = DataLoader(TensorDataset(images[train], labels[train]), batch_size=64, shuffle=True, generator=generator)


class ViT(nn.Module):
    def __init__(self, dim=32, depth=2, heads=4, patch=2):
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(patch * patch, dim)
        self.cls = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos = nn.Parameter(0.02 * torch.randn(1, (8 // patch) ** 2 + 1, dim))
        layer = nn.TransformerEncoderLayer(
            dim, heads, 2 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 10)

    def forward(self, x):
        p = self.patch
        x = x.unfold(1, p, p).unfold(2, p, p).reshape(len(x), -1, p * p)
        x = torch.cat([self.cls.expand(len(x), -1, -1), self.embed(x)], dim=1) + self.pos
        return self.head(self.norm(self.blocks(x)[:, 0]))


model = ViT()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
epochs, warmup = 18, 40
total = epochs * len(loader)


def schedule(step):
    if step < warmup:
        return step / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
loss_fn = nn.CrossEntropyLoss()

for epoch in range(epochs):
    model.train()
    for x, y in loader:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    model.eval()
    with torch.no_grad():
        logits = model(images[val])
        val_loss = loss_fn(logits, labels[val]).item()
        accuracy = (logits.argmax(1) == labels[val]).float().mean().item()
    print(f"epoch {epoch + 1}  val_loss {val_loss:.4f}  accuracy {accuracy:.3f}")
