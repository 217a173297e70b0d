"""How blunt is the drill? Ten layers look at the spectrum of its sound and tell one of six grades of wear.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn

BANDS, GRADES = 48, 6


def sounds(count, generator):
    grade = torch.randint(GRADES, (count,), generator=generator)
    band = torch.arange(BANDS).float()
    speed = 5 + 3 * torch.rand(count, 1, generator=generator)
    spectrum = torch.zeros(count, BANDS)
    for harmonic in range(1, 6):
        strength = torch.exp(-0.3 * harmonic * (1.6 - 0.22 * grade[:, None]))
        spectrum += strength * torch.exp(-(((band - harmonic * speed) / 1.5) ** 2))
    hiss = 0.1 + 0.05 * grade[:, None] * torch.rand(count, 1, generator=generator)
    spectrum = torch.log(spectrum + hiss * torch.rand(count, BANDS, generator=generator) + 0.02)
    return (spectrum + 2.2) / 1.1, grade


class WearNet(nn.Module):
    def __init__(self, width=64, depth=10):
        super().__init__()
        layers = []
        for i in range(depth):
            layers += [nn.Linear(BANDS if i == 0 else width, width), nn.Tanh()]
        self.body = nn.Sequential(*layers)
        self.out = nn.Linear(width, GRADES)
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.xavier_normal_(m.weight, gain=1.2)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        return self.out(self.body(x))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x_val, y_val = sounds(2000, generator)
    model = WearNet()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    steps = 1200
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * min(1.0, step / 50) * (1 - 0.9 * step / steps)
        x, y = sounds(64, generator)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 60 == 0:
            with torch.no_grad():
                val = loss_fn(model(x_val), y_val).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val:.4f}")


if __name__ == "__main__":
    main()
