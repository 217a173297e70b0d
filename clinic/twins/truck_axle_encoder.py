"""Road sensors count the axles of lorries: a Transformer encoder over windows of strain, 750 steps.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def lorries(count, length=32):
    axles = torch.randint(2, 6, (count,))
    t = torch.arange(length).float()
    gap = 3 + 2.5 * torch.rand(count, 1)
    start = 2 + 4 * torch.rand(count, 1)
    strain = torch.zeros(count, length)
    for k in range(5):
        there = (k < axles).float().unsqueeze(1)
        weight = 0.6 + 0.6 * torch.rand(count, 1)
        strain += there * weight * torch.exp(-((t - start - k * gap) ** 2) / 1.5)
    return strain + 0.25 * torch.randn(count, length), axles - 2


class AxleCounter(nn.Module):
    def __init__(self, width=32, length=32):
        super().__init__()
        self.lift = nn.Linear(4, width)
        self.place = nn.Parameter(0.1 * torch.randn(length // 4, width))
        layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 4)

    def forward(self, strain):
        tokens = self.lift(strain.unflatten(1, (-1, 4))) + self.place
        return self.head(self.encoder(tokens).mean(1))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

loader = DataLoader(TensorDataset(*lorries(15000)), batch_size=50, shuffle=True)
strain_val, axles_val = lorries(1000)
model = AxleCounter()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
loss_fn = nn.CrossEntropyLoss()

batches = iter(loader)
for step in range(1, 751):
    try:
        strain, axles = next(batches)
    except StopIteration:
        batches = iter(loader)
        strain, axles = next(batches)
    loss = loss_fn(model(strain), axles)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 25 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(strain_val), axles_val).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
