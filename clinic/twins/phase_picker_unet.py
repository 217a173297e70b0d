"""Onset of a seismic wave in a three-component record: a small one-dimensional U-Net, a label for every sample.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F

N = 96


def records(n, gen):
    onset = torch.randint(20, 76, (n, 1), generator=gen)
    t = torch.arange(N)
    noise = torch.randn(n, 3, N, generator=gen)
    noise = 0.5 * (noise + noise.roll(1, 2))
    lag = (t - onset).clamp(min=0)
    strength = 1.5 + 2 * torch.rand(n, 1, generator=gen)
    envelope = strength * (lag > 0) * torch.exp(-lag / 18)
    wave = envelope * torch.sin(lag * (0.7 + 0.8 * torch.rand(n, 1, generator=gen)))
    direction = F.normalize(torch.randn(n, 3, 1, generator=gen), dim=1)
    label = torch.exp(-(((t - onset) / 2.0) ** 2))
    return noise + direction * wave.unsqueeze(1), label


def conv(i, o):
    return nn.Sequential(nn.Conv1d(i, o, 7, padding=3), nn.BatchNorm1d(o), nn.ReLU())


class UNet(nn.Module):
    def __init__(self, c=12):
        super().__init__()
        self.d1, self.d2, self.mid = conv(3, c), conv(c, 2 * c), conv(2 * c, 2 * c)
        self.u2, self.u1 = conv(4 * c, c), conv(2 * c, c)
        self.out = nn.Conv1d(c, 1, 1)

    def forward(self, x):
        a = self.d1(x)
        b = self.d2(F.max_pool1d(a, 2))
        m = self.mid(F.max_pool1d(b, 2))
        b = self.u2(torch.cat([b, F.interpolate(m, scale_factor=2)], 1))
        a = self.u1(torch.cat([a, F.interpolate(b, scale_factor=2)], 1))
        return self.out(a).squeeze(1)


class Trainer:
    max_norm = 5.0

    def __init__(self, model, lr):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)

    def step(self, record, label):
        self.optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(self.model(record), label)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def evaluate(self, record, label):
        self.model.eval()
        value = F.binary_cross_entropy_with_logits(self.model(record), label).item()
        self.model.train()
        return value


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    held = records(300, gen)
    trainer = Trainer(UNet(), lr=0.05)
    mean = 0.0
    for step in range(1, 401):
        mean = 0.9 * mean + 0.1 * trainer.step(*records(32, gen))
        if step % 20 == 0:
            print(f"step {step}  loss {mean:.4f}  val_loss {trainer.evaluate(*held):.4f}")


if __name__ == "__main__":
    main()
