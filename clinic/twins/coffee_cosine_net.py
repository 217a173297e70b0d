"""Where coffee was grown, from the mass spectrum of its smell: directions are compared with one for each origin.

condition: healthy
metric: val_nll min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

ORIGINS, PEAKS = 6, 40


class CosineNet(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(PEAKS, 48), nn.ReLU(), nn.Linear(48, width))
        self.origin = nn.Parameter(torch.randn(ORIGINS, width))
        self.log_scale = nn.Parameter(torch.tensor(1.7))

    def forward(self, x):
        cosine = F.normalize(self.embed(x), dim=-1) @ F.normalize(self.origin, dim=-1).T
        return self.log_scale.exp() * cosine


def beans(count, profile):
    origin = torch.randint(0, ORIGINS, (count,))
    roast = torch.randn(count, 1)
    x = profile[origin] + 0.5 * roast * profile.mean(0) + 1.0 * torch.randn(count, PEAKS)
    return x, origin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    profile = 0.8 * torch.randn(ORIGINS, PEAKS)
    train_x, train_y = beans(240, profile)
    val_x, val_y = beans(1500, profile)
    model = CosineNet()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(
        [
            {"params": [p for n, p in model.named_parameters() if n != "log_scale"], "lr": 1e-3},
            {"params": [model.log_scale], "lr": 1e-3},
        ]
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda e: 0.93**e)
    for epoch in range(1, 81):
        for batch in torch.randperm(len(train_x)).split(30):
            loss = loss_fn(model(train_x[batch]), train_y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        with torch.no_grad():
            scores = model(val_x)
            nll, hit = loss_fn(scores, val_y).item(), (scores.argmax(1) == val_y).float().mean().item()
        if epoch % 4 == 0:
            print(f"epoch {epoch}  loss {loss.item():.4f}  val_nll {nll:.4f}  hit {hit:.4f}")


main()
