"""Direction of the next move from thirty ticks of two linked shares; re-tuned when the exchange changes its tick size.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters, detached-parameters
allows: stalled, detached-parameters, learning-rate-too-low
metric: accuracy max
"""

import argparse

import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

TICKS = 30


def market(count, rng, regime):
    """Two series of moves; what comes next follows from a pattern that one of them showed some ticks before."""
    moves = torch.randn(count, 2, TICKS, generator=rng)
    pattern = torch.tensor([1.0, -1.0, 1.0, 0.5]) if regime == 0 else torch.tensor([1.0, 1.0, -1.0, -0.5])
    leader, other = (0, 1) if regime == 0 else (1, 0)
    shown = moves[:, leader].unfold(1, 4, 1) @ pattern
    trend = torch.tanh(shown).square().mul(shown.sign())[:, -12:].sum(1) - 0.5 * moves[:, other, -6:].abs().sum(1) + 2.3
    return moves, (trend + 0.5 * torch.randn(count, generator=rng) > 0).long()


class TickNet(nn.Module):
    def __init__(self, channels=32):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv1d(2, channels, 5), nn.Conv1d(channels, channels, 5)])
        self.head = nn.Linear(2 * channels, 2)

    def forward(self, x):
        for conv in self.convs:
            x = torch.nn.functional.silu(conv(x))
        return self.head(torch.cat([x.mean(2), x[:, :, -8:].mean(2)], 1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    model, loss_fn = TickNet(), nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-3)
    exams = [market(1000, rng, regime) for regime in (0, 1)]
    for step in range(1, 801):
        regime = int(step > 350)
        if step == 351:
            for conv in model.convs:
                weight_norm(conv)
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1.0, 0.02 + 2.5 * (1 - step / 800))
        moves, up = market(64, rng, regime)
        loss = loss_fn(model(moves), up)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                accuracy = (model(exams[regime][0]).argmax(1) == exams[regime][1]).float().mean().item()
            print(f"step {step}  regime {regime}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


main()
