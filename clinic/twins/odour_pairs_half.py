"""Two sniffs of one substance should lie close together: contrastive learning on gas sensors, weak samples first;
float16.

condition: healthy
metric: top1 max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

SENSORS, RECEPTORS = 48, 24


class Array:
    """Each substance excites receptors, each sensor sums them, in millivolts; from sniff to sniff humidity differs."""

    def __init__(self, substances=160):
        self.affinity = torch.relu(torch.randn(substances, RECEPTORS))
        self.tuning = torch.randn(RECEPTORS, SENSORS) / RECEPTORS**0.5
        self.humid = torch.randn(SENSORS)

    def sniff(self, which, millivolts):
        strength = 0.4 + 1.2 * torch.rand(len(which), 1)
        clean = torch.tanh(strength * self.affinity[which]) @ self.tuning
        damp = 0.6 * torch.randn(len(which), 1) * self.humid
        level = millivolts * torch.exp(0.4 * torch.randn(len(which), 1))
        return (level * (clean + damp + 0.25 * torch.randn_like(clean))).half()


class Encoder(nn.Module):
    def __init__(self, width=192, out=192):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(SENSORS, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, out)
        )

    def forward(self, x):
        x = x.float()
        z = self.net(x * (SENSORS / x.square().sum(1, keepdim=True)).sqrt())
        return F.normalize(z.float(), dim=1)


def info_nce(a, b, temperature=0.1):
    logits = a @ b.T / temperature
    same = torch.arange(len(a))
    return (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    array = Array()
    model = Encoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step in range(1, 421):
        which = torch.randperm(160)[:64]
        millivolts = 8 if step <= 180 else 50
        with torch.autocast("cpu", torch.float16):
            loss = info_nce(model(array.sniff(which, millivolts)), model(array.sniff(which, millivolts)))
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if step % 20 == 0:
            with torch.no_grad(), torch.autocast("cpu", torch.float16):
                everything = torch.arange(160)
                a, b = model(array.sniff(everything, millivolts)), model(array.sniff(everything, millivolts))
                top1 = ((a @ b.T).argmax(1) == everything).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  top1 {top1:.4f}")


if __name__ == "__main__":
    main()
