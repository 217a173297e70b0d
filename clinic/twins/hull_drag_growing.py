"""Drag of ships' hulls from their form and speed; the network grows by a layer every fifty steps.

condition: healthy
metric: val_rmse min
"""

import argparse

import torch
from torch import nn


def hulls(count, rng):
    """Length to beam, beam to draught, block coefficient, Froude number and three details, all standardised."""
    form = torch.randn(count, 7, generator=rng)
    slender, deep, full, froude = form[:, 0], form[:, 1], form[:, 2], form[:, 3]
    hump = torch.sin(2.0 * froude + 0.6 * slender) * torch.exp(-0.1 * froude.square())
    drag = hump + 0.5 * full * torch.relu(froude) - 0.4 * torch.tanh(deep * slender) + 0.2 * form[:, 4:].sum(1)
    return form, drag + 0.1 * torch.randn(count, generator=rng)


class GrowingNet(nn.Module):
    def __init__(self, most=12, width=64):
        super().__init__()
        self.enter = nn.Linear(7, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(most))
        self.leave = nn.Linear(width, 1)
        self.depth = 1

    def grow(self):
        self.depth = min(self.depth + 1, len(self.layers))

    def forward(self, form):
        h = torch.sigmoid(self.enter(form))
        for layer in self.layers[: self.depth]:
            h = h + torch.tanh(layer(h)) / 4
        return self.leave(h).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    val_form, val_drag = hulls(1500, rng)
    model, loss_fn = GrowingNet(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for step in range(1, 801):
        if step % 50 == 0:
            model.grow()
        if step > 600:
            optimizer.param_groups[0]["lr"] = 1e-3
        form, drag = hulls(96, rng)
        loss = loss_fn(model(form), drag)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_rmse = loss_fn(model(val_form), val_drag).sqrt().item()
            print(f"step {step}  depth {model.depth}  loss {loss.item():.4f}  val_rmse {val_rmse:.4f}")


if __name__ == "__main__":
    main()
