"""Motion of a microphone's membrane from its voltage: a simulation first, then the vibrometer's recordings in metres.

condition: epsilon-dominated-update
accepts: epsilon-dominated-update
allows: stalled, learning-rate-too-low, frozen-parameters, vanishing-gradient, low-precision-underflow
metric: val_error min
"""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SAMPLES = 48


def records(n, gen, stiffening, drag):
    """Voltage over time and the motion after it, by the membrane's equation, in micrometres."""
    t = torch.arange(SAMPLES) / SAMPLES
    volt = torch.zeros(n, SAMPLES)
    for _ in range(3):
        f = 1 + 4 * torch.rand(n, 1, generator=gen)
        volt += torch.randn(n, 1, generator=gen) * torch.sin(2 * math.pi * (f * t + torch.rand(n, 1, generator=gen)))
    x, v, path = torch.zeros(n), torch.zeros(n), []
    for k in range(SAMPLES):
        v = v + (volt[:, k] - x - stiffening * x**3 - drag * v) * 0.35
        x = x + v * 0.35
        path.append(x)
    return volt / 1.2, torch.stack(path, 1) + 0.01 * torch.randn(n, SAMPLES, generator=gen)


class Membrane(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.rnn = nn.GRU(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, volt):
        return self.out(self.rnn(volt.unsqueeze(2))[0]).squeeze(2)


def epochs(model, data, lr, count, start, unit, exam):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, count, eta_min=lr / 10)
    loss_fn = nn.MSELoss()
    for epoch in range(start, start + count):
        total = 0.0
        for volt, motion in data:
            loss = loss_fn(model(volt) * unit, motion)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            total += loss.item()
        scheduler.step()
        with torch.no_grad():
            val_error = (model(exam[0]) - exam[1]).square().mean().sqrt().item()
        print(f"epoch {epoch}  loss {total / len(data):.3e}  val_error {val_error:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    simulated = TensorDataset(*records(800, gen, 0.3, 0.5))
    volt, motion = records(800, gen, 1.0, 0.8)
    exam = records(200, gen, 1.0, 0.8)
    model = Membrane()
    epochs(model, DataLoader(simulated, 40, shuffle=True), 4e-3, 12, 1, 1.0, exam)
    measured = TensorDataset(volt, motion * 1e-6)
    epochs(model, DataLoader(measured, 40, shuffle=True), 4e-3, 14, 13, 1e-6, exam)


if __name__ == "__main__":
    main()
