"""A convolutional encoder of waveforms, pretrained on three machines, is tuned to four others: head first, then all.

condition: healthy
metric: test_loss min
"""

import argparse
import math

import torch
from torch import nn

LENGTH = 96
OLD, NEW = ((3, 0.0), (5, 0.6), (8, 0.2)), ((4, 0.5), (6, 0.1), (7, 0.9), (9, 0.4))


def record(machines, size):
    """Windows of noisy waves: a base frequency and the share of its second harmonic name the machine."""
    kind = torch.randint(len(machines), (size,))
    table = torch.tensor(machines)[kind]
    t = torch.linspace(0, 1, LENGTH)
    phase = 2 * math.pi * (table[:, :1] * t + torch.rand(size, 1))
    wave = phase.sin() + table[:, 1:] * (2 * phase).sin() + 0.9 * torch.randn(size, LENGTH)
    return wave.unsqueeze(1), kind


def make_encoder():
    return nn.Sequential(
        nn.Conv1d(1, 12, 7, stride=2, padding=3),
        nn.ReLU(),
        nn.Conv1d(12, 24, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv1d(24, 24, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(2),
        nn.Flatten(),
    )


def run(seed):
    torch.manual_seed(seed)
    loss_fn = nn.CrossEntropyLoss()
    encoder = make_encoder()
    model = nn.Sequential(encoder, nn.Linear(48, len(OLD)))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        wave, kind = record(OLD, 64)
        optimizer.zero_grad()
        loss_fn(model(wave), kind).backward()
        optimizer.step()

    head = nn.Linear(48, len(NEW))
    model = nn.Sequential(encoder, head)
    encoder.requires_grad_(False)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.05, momentum=0.9)
    encoder_optimizer = torch.optim.SGD(encoder.parameters(), lr=0.02, momentum=0.9)
    test_wave, test_kind = record(NEW, 1000)
    for step in range(1, 401):
        if step == 101:
            encoder.requires_grad_(True)
        wave, kind = record(NEW, 64)
        loss = loss_fn(model(wave), kind)
        optimizer.zero_grad()
        encoder_optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step > 100:
            encoder_optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                logits = model(test_wave)
            accuracy = (logits.argmax(1) == test_kind).float().mean().item()
            print(f"step {step}  test_loss {loss_fn(logits, test_kind).item():.4f}  accuracy {accuracy:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args().seed)
