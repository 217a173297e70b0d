"""Rock types along a drill core, from gamma ray and density logs, by a dilated convolution.

condition: healthy
metric: val_accuracy max
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

ROCKS = 5


def cores(n, response, length=48):
    layer = (torch.rand(n, length) < 0.15).cumsum(1)
    rock = torch.randint(ROCKS, (n, length)).gather(1, layer.clamp(max=length - 1))
    logs = response[rock].transpose(1, 2) + 0.8 * torch.randn(n, 3, length)
    logs = nn.functional.avg_pool1d(logs, 3, 1, 1)
    return TensorDataset(logs, rock)


model_layers = lambda: nn.Sequential(
    nn.Conv1d(3, 32, 5, padding=2),
    nn.ReLU(),
    nn.Conv1d(32, 32, 5, padding=4, dilation=2),
    nn.ReLU(),
    nn.Conv1d(32, 32, 5, padding=8, dilation=4),
    nn.ReLU(),
    nn.Conv1d(32, ROCKS, 1),
)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    response = 1.7 * torch.randn(ROCKS, 3)
    train, val = cores(1600, response), cores(300, response)
    loader = DataLoader(train, batch_size=4, shuffle=True)
    model = model_layers()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 601):
        logs, rock = next(iter(loader))
        loss = loss_fn(model(logs), rock)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0 or step == 1:
            with torch.no_grad():
                right = (model(val.tensors[0]).argmax(1) == val.tensors[1]).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_accuracy {right:.4f}")


main()
