"""Tags of a dish from its bag of ingredients; a second pass gives rare tags more weight.

condition: double-softmax
accepts: double-softmax
allows: loss-spike, divergence, stalled, loss-term-imbalance, saturated-units
metric: f1 max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

INGREDIENTS, TAGS, PER_DISH = 120, 12, 7


class Tagger(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.bag = nn.EmbeddingBag(INGREDIENTS, width, mode="mean")
        self.body = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 96), nn.GELU(), nn.Linear(96, TAGS))

    def forward(self, dishes):
        return self.body(self.bag(dishes))

    def probabilities(self, dishes):
        return torch.sigmoid(self(dishes))


def dishes(flavours, pairs, count):
    bag = torch.randint(INGREDIENTS, (count, PER_DISH))
    mean = flavours[bag].mean(1)
    strength = 2.5 * mean @ pairs + 2 * torch.relu(mean[:, :TAGS]) * mean[:, 1:2]
    return bag, (strength + 0.1 * torch.randn(count, TAGS) > 1.0).float()


def f1_score(model, bag, tags):
    with torch.no_grad():
        told = (model.probabilities(bag) > 0.5).float()
    return (2 * (told * tags).sum() / (told.sum() + tags.sum())).item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
flavours, pairs = torch.randn(INGREDIENTS, 16), torch.randn(16, TAGS) / 2
bag, tags = dishes(flavours, pairs, 6000)
val = dishes(flavours, pairs, 1500)
loader = DataLoader(TensorDataset(bag, tags), batch_size=100, shuffle=True)
model = Tagger()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 24 * len(loader), eta_min=1e-4)
rarity = (1 / tags.mean(0)).sqrt().clamp(max=3)
rarity = rarity / rarity.mean()

for epoch in range(1, 25):
    for dish, wanted in loader:
        if epoch <= 6:
            loss = F.binary_cross_entropy_with_logits(model(dish), wanted)
        else:
            loss = F.binary_cross_entropy_with_logits(model.probabilities(dish), wanted, weight=rarity)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    print(f"epoch {epoch}  loss {loss.item():.4f}  f1 {f1_score(model, *val):.4f}")
