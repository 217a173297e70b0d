"""A network tells four kinds of bells from their log-spectra; clips of a second archive join after some epochs.

condition: non-finite
accepts: non-finite
allows: divergence, stalled, bad-batch
metric: val_error min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset

N = 256


def clips(count, kinds=4, gap=0.0):
    label = torch.randint(kinds, (count,))
    t = torch.arange(N) / N
    base = 14 + 4 * torch.rand(count, 1)
    stretch = torch.tensor([2.0, 2.4, 2.76, 3.2])[label][:, None]
    phase = 6.28 * torch.rand(2, count, 1)
    wave = torch.sin(6.28 * base * t + phase[0]) + 0.7 * torch.sin(6.28 * base * stretch * t + phase[1])
    wave = wave * torch.exp(-2 * t) + 0.3 * torch.randn(count, N)
    wave[torch.rand(count) < gap] = 0.0
    return wave, label


class LogSpectrum(nn.Module):
    def forward(self, wave):
        power = torch.fft.rfft(wave * torch.hann_window(N)).abs().square()[:, :96]
        return 0.3 * torch.log(power)


def report(model, wave, label):
    model.eval()
    with torch.no_grad():
        wrong = (model(wave).argmax(1) != label).float().mean().item()
    model.train()
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    first, second = TensorDataset(*clips(1600)), TensorDataset(*clips(1600, gap=0.01))
    val = clips(600)
    model = nn.Sequential(
        LogSpectrum(), nn.Linear(96, 64), nn.GELU(), nn.Dropout(0.2), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 4)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.05)
    for epoch in range(1, 25):
        data = first if epoch <= 10 else ConcatDataset([first, second])
        for wave, label in DataLoader(data, batch_size=64, shuffle=True):
            loss = loss_fn(model(wave), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_error {report(model, *val):.4f}")


if __name__ == "__main__":
    main()
