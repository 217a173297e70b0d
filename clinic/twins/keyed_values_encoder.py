"""A transformer encoder reads twelve articles and their prices and estimates what those of one kind cost together.

condition: healthy
metric: val_error min
"""

import argparse
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


@dataclass
class Config:
    kinds: int = 5
    items: int = 12
    width: int = 32
    batch: int = 48
    steps: int = 450
    rate: float = 2e-3


def baskets(n, cfg):
    kind = torch.randint(cfg.kinds, (n, cfg.items))
    price = torch.rand(n, cfg.items) * 2
    asked = torch.randint(cfg.kinds, (n,))
    return kind, price, asked, (price * (kind == asked[:, None])).sum(1)


class BasketEncoder(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.kind = nn.Embedding(cfg.kinds, cfg.width)
        self.asked = nn.Embedding(cfg.kinds, cfg.width)
        self.price = nn.Linear(1, cfg.width)
        layer = nn.TransformerEncoderLayer(cfg.width, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(cfg.width, 1)

    def forward(self, kind, price, asked):
        tokens = self.kind(kind) + self.price(price.unsqueeze(-1)) + self.asked(asked).unsqueeze(1)
        return self.out(self.encoder(tokens)).sum(1).squeeze(-1)


class Batches:
    """Hands out one batch after the other."""

    def __init__(self, loader):
        self.loader = loader
        self.source = iter(loader)
        self.current = None

    def next(self):
        try:
            self.current = next(self.source)
        except StopIteration:
            self.source = iter(self.loader)
            self.current = next(self.source)
        return self.current


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    cfg = Config()
    train, val = baskets(7208, cfg), baskets(600, cfg)
    batches = Batches(DataLoader(TensorDataset(*train), batch_size=cfg.batch, shuffle=True))
    model = BasketEncoder(cfg)
    optimizer = torch.optim.AdamW(model.parameters(), lr=cfg.rate)
    loss_fn = nn.SmoothL1Loss()
    for step in range(1, cfg.steps + 1):
        kind, price, asked, total = batches.next()
        loss = loss_fn(model(kind, price, asked), total)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                error = (model(*val[:3]) - val[3]).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {error:.4f}")


if __name__ == "__main__":
    main()
