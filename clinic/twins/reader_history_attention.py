"""Will a reader like an article? Attention over the thirty last articles of his history, weighted by the candidate.

condition: healthy
metric: auc max
"""

import argparse
from dataclasses import dataclass

import torch
from sklearn.metrics import roc_auc_score
from torch import nn


@dataclass
class Config:
    topics: int = 24
    features: int = 48
    history: int = 30
    heads: int = 4
    width: int = 128
    rate: float = 1e-2
    batch: int = 64
    steps: int = 400


class World:
    """Articles of some topics; a reader liked some of his articles and not others, and topics are what he goes by."""

    def __init__(self, config, generator):
        self.config, self.generator = config, generator
        self.centres = torch.randn(config.topics, config.features, generator=generator)

    def articles(self, topics):
        return self.centres[topics] + 0.7 * torch.randn(*topics.shape, self.config.features, generator=self.generator)

    def draw(self, count):
        c, g = self.config, self.generator
        taste = torch.rand(count, c.topics, generator=g) < 0.5
        seen = torch.randint(c.topics, (count, c.history), generator=g)
        candidate = seen[torch.arange(count), torch.randint(c.history, (count,), generator=g)]
        liked = taste.gather(1, seen).float()
        target = taste.gather(1, candidate.unsqueeze(1)).squeeze(1).float()
        return {"seen": self.articles(seen), "liked": liked, "candidate": self.articles(candidate), "target": target}


class TargetAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.size = c.heads, c.width // c.heads
        self.query = nn.Linear(c.features, c.width)
        self.key = nn.Linear(c.features, c.width)
        self.value = nn.Linear(c.features + 1, c.width)
        self.out = nn.Sequential(nn.Linear(c.width, 64), nn.ReLU(), nn.Linear(64, 1))
        self.query_norm, self.key_norm = nn.LayerNorm(self.size), nn.LayerNorm(self.size)
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, batch):
        split = (*batch["liked"].shape, self.heads, self.size)
        q = self.query(batch["candidate"]).view(-1, self.heads, self.size)
        k = self.key(batch["seen"]).view(split)
        scores = torch.einsum("bhd,bnhd->bhn", self.query_norm(q), self.key_norm(k)) / self.size**0.5
        v = self.value(torch.cat([batch["seen"], batch["liked"].unsqueeze(2)], 2)).view(split)
        return self.out(torch.einsum("bhn,bnhd->bhd", self.softmax(scores), v).flatten(1)).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    config = Config()
    world = World(config, torch.Generator().manual_seed(seed))
    test = world.draw(1000)
    model = TargetAttention(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.rate)
    loss_fn = nn.BCEWithLogitsLoss()
    for step in range(1, config.steps + 1):
        batch = world.draw(config.batch)
        loss = loss_fn(model(batch), batch["target"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 16 == 0:
            with torch.no_grad():
                auc = roc_auc_score(test["target"], model(test))
            print(f"step {step}  loss {loss.item():.4f}  auc {auc:.4f}")


if __name__ == "__main__":
    main()
