"""Is there ragweed on a slide? Bags of pollen grains are pooled by a learned attention (multiple instance learning).

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

GRAINS, FEATURES = 24, 16


class AttentionPool(nn.Module):
    """Ilse et al.: weights = softmax(w tanh(V h) / temperature)."""

    def __init__(self, dim, hidden=32, temperature=1.0):
        super().__init__()
        self.v, self.w = nn.Linear(dim, hidden), nn.Linear(hidden, 1)
        self.temperature = temperature

    def forward(self, h):
        score = self.w(torch.tanh(self.v(h))).squeeze(-1)
        weight = torch.softmax(score / self.temperature, dim=1)
        return (weight.unsqueeze(-1) * h).sum(1)


class SlideNet(nn.Module):
    def __init__(self, dim=48):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(FEATURES, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU())
        self.pool = AttentionPool(dim)
        self.classify = nn.Linear(dim, 1)

    def forward(self, bags):
        return self.classify(self.pool(self.embed(bags))).squeeze(-1)


class Laboratory:
    def __init__(self):
        self.kinds = 1.2 * torch.randn(6, FEATURES)

    def slides(self, n):
        kind = torch.randint(1, 6, (n, GRAINS))
        found = torch.rand(n) < 0.5
        hit = torch.rand(n, GRAINS) < 0.12
        hit[torch.arange(n), torch.randint(GRAINS, (n,))] = True
        kind = torch.where(found.unsqueeze(1) & hit, 0, kind)
        return self.kinds[kind] + 0.9 * torch.randn(n, GRAINS, FEATURES), found.float()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    lab = Laboratory()
    held, truth = lab.slides(600)
    model = SlideNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 800)
    for step in range(1, 801):
        bags, found = lab.slides(32)
        loss = F.binary_cross_entropy_with_logits(model(bags), found)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 40 == 0:
            with torch.no_grad():
                val = F.binary_cross_entropy_with_logits(model(held), truth).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val:.4f}")


if __name__ == "__main__":
    main()
