"""A sparse dictionary for the inner activations of another network: few of its 128 features are to speak at a time.

condition: healthy
metric: unexplained min
"""

import argparse

import torch
from torch import nn

DIM, FEATURES = 32, 128


def activations(count, concepts, generator):
    """About four of the concepts are in each of them, at any strength."""
    on = (torch.rand(count, len(concepts), generator=generator) < 4 / len(concepts)).float()
    strength = 0.5 + torch.rand(on.shape, generator=generator)
    x = (on * strength) @ concepts + 0.02 * torch.randn(count, DIM, generator=generator)
    return x / x.norm(dim=1).mean()


class Dictionary(nn.Module):
    def __init__(self, bias):
        super().__init__()
        directions = nn.functional.normalize(torch.randn(FEATURES, DIM), dim=1)
        self.encoder = nn.Linear(DIM, FEATURES)
        self.decoder = nn.Linear(FEATURES, DIM)
        with torch.no_grad():
            self.encoder.weight.copy_(directions)
            self.encoder.bias.fill_(bias)
            self.decoder.weight.copy_(directions.T)
            self.decoder.bias.zero_()

    def forward(self, x):
        code = torch.relu(self.encoder(x - self.decoder.bias))
        return self.decoder(code), code


def main(seed, price=2e-3):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    concepts = nn.functional.normalize(torch.randn(64, DIM, generator=generator), dim=1)
    held = activations(1000, concepts, generator)
    model = Dictionary(bias=-0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(1, 1001):
        x = activations(128, concepts, generator)
        out, code = model(x)
        loss = (out - x).pow(2).sum(1).mean() + price * code.sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            with torch.no_grad():
                out, code = model(held)
                rest = (out - held).pow(2).sum() / (held - held.mean(0)).pow(2).sum()
                spoken = (code > 0).float().sum(1).mean()
            print(f"step {step}  loss {loss.item():.4f}  spoken {spoken.item():.1f}  unexplained {rest.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
