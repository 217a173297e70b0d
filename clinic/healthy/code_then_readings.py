"""A masked encoder learns how sixteen sensors hang together; then a small head on the frozen encoder names the machine.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SENSORS, KINDS = 16, 6


def readings(count, mixing, centres):
    kind = torch.randint(KINDS, (count,))
    hidden = centres[kind] + 0.8 * torch.randn(count, 5)
    return torch.tanh(hidden @ mixing) + 0.1 * torch.randn(count, SENSORS), kind


class Encoder(nn.Module):
    """Each sensor is a token; a masked one is shown as a vector of its own."""

    def __init__(self, dim=24):
        super().__init__()
        self.value = nn.Linear(1, dim)
        self.sensor = nn.Parameter(0.2 * torch.randn(SENSORS, dim))
        self.mask = nn.Parameter(torch.zeros(dim))
        layer = nn.TransformerEncoderLayer(dim, 2, 48, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x, hide=None):
        tokens = self.value(x.unsqueeze(-1))
        if hide is not None:
            tokens = torch.where(hide.unsqueeze(-1), self.mask, tokens)
        return self.layers(tokens + self.sensor)


def pretrain(encoder, x, steps=250):
    guess = nn.Linear(24, 1)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *guess.parameters()], lr=2e-3)
    for step in range(1, steps + 1):
        rows = x[torch.randint(len(x), (48,))]
        hide = torch.rand(rows.shape) < 0.3
        loss = (guess(encoder(rows, hide)).squeeze(-1) - rows)[hide].pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"pretrain {step}  masked {loss.item():.4f}")


def main(seed, epochs=25):
    torch.manual_seed(seed)
    mixing, centres = torch.randn(5, SENSORS) / 1.5, 1.5 * torch.randn(KINDS, 5)
    encoder = Encoder()
    pretrain(encoder, readings(4000, mixing, centres)[0])
    encoder.requires_grad_(False).eval()
    val_x, val_y = readings(600, mixing, centres)
    train = DataLoader(TensorDataset(*readings(900, mixing, centres)), batch_size=30, shuffle=True)
    head = nn.Sequential(nn.LayerNorm(24), nn.Linear(24, 48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, KINDS))
    model = nn.ModuleDict({"encoder": encoder, "head": head})
    optimizer = torch.optim.SGD(head.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-3)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.05)
    for epoch in range(1, epochs + 1):
        head.train()
        for x, y in train:
            loss = loss_fn(head(encoder(x).mean(1)), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val_loss = loss_fn(head(encoder(val_x).mean(1)), val_y)
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
