"""An encoder is trained for two ends at once: to classify digits and to rebuild them.

condition: detached-parameters
accepts: detached-parameters
allows: frozen-parameters, optimizer-misses-parameters
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Reader(nn.Module):
    def __init__(self, code=3):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ELU(), nn.Linear(64, code))
        self.decoder = nn.Sequential(nn.Linear(code, 64), nn.ELU(), nn.Linear(64, 64))
        self.classifier = nn.Sequential(nn.Linear(code, 32), nn.ELU(), nn.Linear(32, 10))

    def forward(self, x):
        code = self.encoder(x).detach()
        return self.classifier(code), self.decoder(code)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
images = torch.tensor(digits.data, dtype=torch.float32) / 8 - 1
labels = torch.tensor(digits.target)
loader = DataLoader(
    TensorDataset(images[:1300], labels[:1300]),
    batch_size=50,
    shuffle=True,
    generator=torch.Generator().manual_seed(args.seed),
)
model = Reader()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
class_loss, rebuild_loss = nn.CrossEntropyLoss(), nn.MSELoss()

for epoch in range(1, 19):
    for x, y in loader:
        logits, rebuilt = model(x)
        loss = class_loss(logits, y) + rebuild_loss(rebuilt, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        accuracy = (model(images[1300:])[0].argmax(1) == labels[1300:]).float().mean().item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
