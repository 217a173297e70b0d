"""A transformer without positions reads the five dice of a throw at yacht and names the category.

condition: learning-rate-too-high
accepts: learning-rate-too-high
allows: divergence, loss-spike, edge-of-stability, unsafe-step, stalled, dead-units, attention-logit-growth,
  softmax-collapse, rank-collapse, vanishing-gradient
metric: accuracy max
"""

import argparse

import torch
from torch import nn

NAMES = ["nothing", "pair", "two pairs", "three", "full house", "four", "yacht", "straight"]


def category(dice):
    counts = torch.stack([(dice == face).sum(1) for face in range(6)], 1)
    ranked = counts.sort(dim=1, descending=True).values
    label = torch.zeros(len(dice), dtype=torch.long)
    label[(ranked[:, 0] == 2) & (ranked[:, 1] == 1)] = 1
    label[(ranked[:, 0] == 2) & (ranked[:, 1] == 2)] = 2
    label[(ranked[:, 0] == 3) & (ranked[:, 1] == 1)] = 3
    label[(ranked[:, 0] == 3) & (ranked[:, 1] == 2)] = 4
    label[ranked[:, 0] == 4] = 5
    label[ranked[:, 0] == 5] = 6
    label[(ranked[:, 0] == 1) & ((counts[:, 0] == 0) | (counts[:, 5] == 0))] = 7
    return label


def throw(count, generator):
    """Throws with some dice held back, so that the rare categories turn up as well."""
    dice = torch.randint(6, (count, 5), generator=generator)
    held = torch.rand(count, 5, generator=generator) < torch.rand(count, 1, generator=generator)
    dice = torch.where(held, dice[:, :1], dice)
    return dice, category(dice)


class DiceReader(nn.Module):
    def __init__(self, width=32, heads=4, layers=3):
        super().__init__()
        self.face = nn.Embedding(6, width)
        layer = nn.TransformerEncoderLayer(width, heads, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(NAMES))

    def forward(self, dice):
        return self.head(self.norm(self.encoder(self.face(dice)).mean(1)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--lr", type=float, default=2e-2)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)

    model = DiceReader()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=arguments.lr)
    valid_dice, valid_label = throw(1000, generator)
    for step in range(1, arguments.steps + 1):
        dice, label = throw(128, generator)
        loss = loss_fn(model(dice), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            model.eval()
            with torch.no_grad():
                accuracy = (model(valid_dice).argmax(1) == valid_label).float().mean().item()
            model.train()
            print(f"step {step:4d}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
