"""Faults of a gearbox from its vibration spectrum: an encoder learns to fill in masked bands, then a head is
trained on it.

condition: missing-zero-grad
accepts: missing-zero-grad
allows: divergence, loss-spike, dead-units, learning-rate-too-high, exploding-gradient, unsafe-step
metric: error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

BANDS, FAULTS = 64, 6


class Gearbox:
    def __init__(self):
        self.signature = torch.zeros(FAULTS, BANDS)
        for fault in range(FAULTS):
            first = int(torch.randint(3, 9, (1,)))
            self.signature[fault, first::first] = torch.rand(len(range(first, BANDS, first)))
        self.hum = 0.5 * torch.randn(6, BANDS)

    def listen(self, count):
        fault = torch.randint(FAULTS, (count,))
        spectrum = (0.6 + 0.8 * torch.rand(count, 1)) * self.signature[fault] + torch.randn(count, 6) @ self.hum
        return (spectrum + 0.25 * torch.randn(count, BANDS)) / 1.3, fault


def encoder():
    return nn.Sequential(nn.Linear(BANDS, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())


def pretrain(body, gearbox, steps, every):
    decoder = nn.Linear(64, BANDS)
    optimizer = torch.optim.Adam([*body.parameters(), *decoder.parameters()], lr=1e-3)
    for step in range(1, steps + 1):
        spectrum, _ = gearbox.listen(128)
        hidden = torch.rand_like(spectrum) < 0.3
        filled = decoder(body(spectrum.masked_fill(hidden, 0.0)))
        loss = F.mse_loss(filled[hidden], spectrum[hidden])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % every == 0:
            print(f"pretraining {step}  loss {loss.item():.4f}")


def finetune(body, gearbox, steps, every):
    head = nn.Linear(64, FAULTS)
    model = nn.Sequential(body, head)
    optimizer = torch.optim.Adam([{"params": body.parameters(), "lr": 5e-4}, {"params": head.parameters(), "lr": 2e-3}])
    exam, answer = gearbox.listen(2000)
    for step in range(1, steps + 1):
        spectrum, fault = gearbox.listen(64)
        loss = F.cross_entropy(model(spectrum), fault)
        loss.backward()
        optimizer.step()
        if step % every == 0:
            with torch.no_grad():
                error = (model(exam).argmax(1) != answer).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    gearbox = Gearbox()
    body = encoder()
    pretrain(body, gearbox, steps=600, every=50)
    finetune(body, gearbox, steps=800, every=25)


if __name__ == "__main__":
    main()
