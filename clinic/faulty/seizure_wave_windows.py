"""Short windows of brain waves: a 1-D convolutional network with dropout tells seizures from artefacts and sleep.

condition: eval-mode-training
accepts: eval-mode-training
allows: overfitting, naive-loss-minimisation
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def windows(count, generator):
    t = torch.arange(96) / 32
    kind = torch.randint(3, (count,), generator=generator)
    rate = torch.tensor([3.0, 7.0, 1.2])[kind] + 0.8 * torch.randn(count, generator=generator)
    phase = 6.3 * torch.rand(count, 1, generator=generator)
    wave = torch.sin(6.283 * rate[:, None] * t + phase)
    wave = torch.where(kind[:, None] == 0, wave.abs() ** 0.5 * wave.sign(), wave)
    return (wave + 1.1 * torch.randn(count, 96, generator=generator)).unsqueeze(1), kind


def evaluate(model, x, y, loss_fn):
    model.eval()
    with torch.no_grad():
        logits = model(x)
        return loss_fn(logits, y).item(), (logits.argmax(1) == y).float().mean().item()


def main(seed):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed + 100)
    x, y = windows(240, generator)
    val_x, val_y = windows(600, generator)
    loader = DataLoader(TensorDataset(x, y), batch_size=24, shuffle=True)
    model = nn.Sequential(
        nn.Conv1d(1, 24, 9, stride=2, padding=4),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Conv1d(24, 32, 7, stride=2, padding=3),
        nn.ReLU(),
        nn.AdaptiveMaxPool1d(3),
        nn.Flatten(),
        nn.Dropout(0.6),
        nn.Linear(96, 64),
        nn.ReLU(),
        nn.Dropout(0.6),
        nn.Linear(64, 3),
    )
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    model.train()
    for epoch in range(1, 46):
        total = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(xb)
        val_loss, accuracy = evaluate(model, val_x, val_y, loss_fn)
        print(f"epoch {epoch}  train {total / len(x):.4f}  val_loss {val_loss:.4f}  accuracy {accuracy:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
