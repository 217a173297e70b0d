"""Attention over the patches of a biopsy slide; the slide's score is the mean severity of its lesions.

condition: attention-logit-growth
accepts: attention-logit-growth, softmax-collapse, loss-term-imbalance
allows: softmax-collapse, loss-term-imbalance, saturated-units, divergence, stalled, loss-spike, overfitting
metric: val_mse min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

PATCHES, FEATURES = 40, 16


def slides(n, g):
    lesion = torch.rand(n, PATCHES, generator=g) < 0.25
    lesion[:, 0] = True
    severity = torch.randn(n, PATCHES, generator=g)
    stain = torch.randn(n, 1, FEATURES, generator=g) * 0.3
    look = torch.randn(n, PATCHES, FEATURES, generator=g)
    look[..., 0] = torch.where(lesion, 1.8, -1.8) + 0.5 * look[..., 0]
    look[..., 1] = severity + 0.3 * look[..., 1]
    order = torch.rand(n, PATCHES, generator=g).argsort(1)
    look = torch.gather(look + stain, 1, order.unsqueeze(2).expand_as(look))
    score = (severity * lesion).sum(1) / lesion.sum(1).sqrt()
    return look, score


class SlideModel(nn.Module):
    def __init__(self, d=48):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(FEATURES, d), nn.ReLU(), nn.LayerNorm(d))
        self.tanh_branch = nn.Linear(d, 24)
        self.gate_branch = nn.Linear(d, 24)
        self.score = nn.Linear(24, 1)
        self.out = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, 1))

    def forward(self, bag):
        h = self.embed(bag)
        a = self.score(torch.tanh(self.tanh_branch(h)) * torch.sigmoid(self.gate_branch(h))).squeeze(2)
        log_w = F.log_softmax(a, 1)
        entropy = -(log_w.exp() * log_w).sum(1).mean()
        pooled = torch.einsum("bp,bpd->bd", log_w.exp(), h)
        return self.out(pooled).squeeze(1), entropy


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    seed = p.parse_args().seed
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    train_x, train_y = slides(4000, g)
    val_x, val_y = slides(600, g)
    model = SlideModel()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(1, 19):
        sharpness = 0.0 if epoch < 7 else 0.5
        if epoch == 13:
            optimizer.param_groups[0]["lr"] = 3e-4
        running = 0.0
        for idx in torch.randperm(len(train_x)).split(80):
            pred, entropy = model(train_x[idx])
            fit = loss_fn(pred, train_y[idx])
            loss = fit + sharpness * entropy
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running += fit.item() * len(idx)
        with torch.no_grad():
            val_mse = loss_fn(model(val_x)[0], val_y).item()
        print(f"epoch {epoch}  fit {running / len(train_x):.4f}  val_mse {val_mse:.4f}")


if __name__ == "__main__":
    main()
