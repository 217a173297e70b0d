"""Two noisy views of a digit get like codes whose entries vary and are not correlated: three terms of unlike size.

condition: healthy
infos: loss-term-imbalance
metric: loss min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

images, labels = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
images = images.float().view(-1, 8, 8) / 16
mix = torch.randperm(len(images))
images, labels = images[mix], labels[mix]


def view(batch):
    """A shifted, dimmed and noisy copy."""
    dx, dy = torch.randint(-1, 2, (2,)).tolist()
    gain = 0.7 + 0.6 * torch.rand(len(batch), 1, 1)
    return (gain * batch.roll((dx, dy), (1, 2)) + 0.15 * torch.randn_like(batch)).flatten(1)


class Projector(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 96), nn.BatchNorm1d(96), nn.ReLU(), nn.Linear(96, 48))
        self.expander = nn.Sequential(nn.ReLU(), nn.Linear(48, dim))

    def forward(self, x):
        return self.expander(self.encoder(x))


def spread(z):
    return F.relu(1 - torch.sqrt(z.var(0) + 1e-4)).mean()


def correlation(z):
    z = z - z.mean(0)
    c = z.T @ z / (len(z) - 1)
    return (c.square().sum() - c.diagonal().square().sum()) / z.shape[1]


@torch.no_grad()
def agreement(model):
    """How often the nearest neighbour among the codes of seen digits has the label of an unseen one."""
    model.eval()
    codes = F.normalize(model.encoder(images.flatten(1)), dim=1)
    model.train()
    nearest = (codes[1400:] @ codes[:1400].T).argmax(1)
    return (labels[:1400][nearest] == labels[1400:]).float().mean().item()


model = Projector()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
for step in range(1, 301):
    batch = images[torch.randint(1400, (96,))]
    a, b = model(view(batch)), model(view(batch))
    invariance = F.mse_loss(a, b)
    loss = 25 * invariance + 25 * (spread(a) + spread(b)) + correlation(a) + correlation(b)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 15 == 0:
        score = agreement(model)
        print(f"step {step}  loss {loss.item():.3f}  invariance {invariance.item():.4f}  agreement {score:.4f}")
