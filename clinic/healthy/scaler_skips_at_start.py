"""Half precision with a gradient scaler that starts far too high: it skips its first steps, finds its scale, trains.

condition: healthy
metric: loss min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
images = torch.tensor(digits.data, dtype=torch.float32) / 16
labels = torch.tensor(digits.target)
generator = torch.Generator().manual_seed(args.seed)
loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True, generator=generator)

model = nn.Sequential(
    nn.Linear(64, 128),
    nn.LayerNorm(128),
    nn.GELU(),
    nn.Linear(128, 128),
    nn.LayerNorm(128),
    nn.GELU(),
    nn.Linear(128, 10),
)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24, growth_interval=500)
loss_fn = nn.CrossEntropyLoss()

step, running = 0, 0.0
for _ in range(12):
    for x, y in loader:
        with torch.autocast("cpu", dtype=torch.float16):
            logits = model(x)
            loss = loss_fn(logits.float(), y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        step += 1
        running += loss.item()
        if step % 10 == 0:
            print(f"step {step}  loss {running / 10:.4f}  scale {scaler.get_scale():.0f}")
            running = 0.0
