"""A thrifty code for patches of handwritten digits: few cells fire, the patch is rebuilt from them.

condition: healthy
metric: error min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--cells", type=int, default=96)
args = parser.parse_args()
torch.manual_seed(args.seed)

images = torch.tensor(load_digits().images, dtype=torch.float32) / 16
patches = images.unfold(1, 5, 1).unfold(2, 5, 1).reshape(-1, 25)
patches = patches[patches.std(1) > 0.2]
patches = patches - patches.mean(1, keepdim=True)
patches = patches / patches.std()
patches = patches[torch.randperm(len(patches))]
test, train = patches[:800], patches[800:]


class Retina(nn.Module):
    def __init__(self, cells):
        super().__init__()
        self.encode = nn.Linear(25, cells)
        self.decode = nn.Linear(cells, 25)

    def forward(self, x):
        firing = torch.relu(self.encode(x))
        atoms = self.decode.weight / self.decode.weight.norm(dim=0, keepdim=True)
        return firing @ atoms.T + self.decode.bias, firing


def price(step):
    """What a unit of firing costs: almost nothing at first, then more, by 0.9 % a step."""
    return min(0.4, 0.004 * 1.009**step)


model = Retina(args.cells)
optimizer = torch.optim.NAdam(model.parameters(), lr=2e-3)
loss_fn = nn.MSELoss()

for step in range(1200):
    x = train[torch.randint(len(train), (128,))]
    rebuilt, firing = model(x)
    loss = loss_fn(rebuilt, x) + price(step) * firing.mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 25 == 0:
        with torch.no_grad():
            rebuilt, firing = model(test)
            error = loss_fn(rebuilt, test).item()
        print(
            f"step {step}  loss {loss.item():.4f}  error {error:.4f}  firing {(firing > 0).float().mean().item():.3f}"
        )
