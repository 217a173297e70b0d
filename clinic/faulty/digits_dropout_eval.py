"""A wide network with much dropout reads noisy digits; every forty steps it is tested.

condition: eval-mode-training
accepts: eval-mode-training
allows: overfitting, naive-loss-minimisation
metric: loss min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


class Net(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(0.3),
            nn.Linear(64, width),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(width, 10),
        )

    def forward(self, x):
        return self.layers(x)


def test(model, images, labels):
    """Loss and accuracy on digits that were not trained on."""
    model.eval()
    with torch.no_grad():
        logits = model(images)
    return nn.functional.cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).float().mean().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

images, labels = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
images = images.float() / 16
images = images + 0.5 * torch.randn_like(images)
order = torch.randperm(len(images))
train, held_out = order[:250], order[250:]

model = Net()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
loss_fn = nn.CrossEntropyLoss()

model.train()
for step in range(1, 801):
    rows = train[torch.randint(len(train), (32,))]
    loss = loss_fn(model(images[rows]), labels[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 40 == 0:
        test_loss, accuracy = test(model, images[held_out], labels[held_out])
        print(f"step {step}  loss {test_loss:.4f}  accuracy {accuracy:.4f}")
