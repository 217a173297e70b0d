"""Patches of handwritten digits go through a small vision transformer in two phases, the second with its own optimiser.

condition: learning-rate-too-high
accepts: learning-rate-too-high, divergence
allows: loss-spike, unsafe-step, stalled, rank-collapse, dead-units, attention-logit-growth, vanishing-gradient, exploding-gradient
metric: val_accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


class Vit(nn.Module):
    def __init__(self, d=40):
        super().__init__()
        self.patch = nn.Conv2d(1, d, 2, stride=2)
        self.place = nn.Parameter(0.02 * torch.randn(1, 16, d))
        layer = nn.TransformerEncoderLayer(d, 4, 80, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 10))

    def forward(self, image):
        tokens = self.patch(image).flatten(2).transpose(1, 2) + self.place
        return self.head(self.blocks(tokens).mean(1))


class Study:
    def __init__(self, seed):
        torch.manual_seed(seed)
        data = load_digits()
        images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 6 - 0.8
        self.images, self.labels = images, torch.tensor(data.target)
        order = torch.randperm(len(images))
        self.train, self.val = order[:1300], order[1300:]
        self.model, self.loss_fn, self.step = Vit(), nn.CrossEntropyLoss(label_smoothing=0.1), 0

    def phase(self, steps, rate, shift):
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, weight_decay=0.01)
        for _ in range(steps):
            rows = self.train[torch.randint(len(self.train), (64,))]
            image = self.images[rows] + 0.2 * torch.randn(64, 1, 8, 8)
            if shift:
                image = image.roll(int(torch.randint(-1, 2, ())), 3)
            loss = self.loss_fn(self.model(image), self.labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            self.step += 1
            if self.step % 20 == 0:
                with torch.no_grad():
                    right = (self.model(self.images[self.val]).argmax(1) == self.labels[self.val]).float().mean()
                print(f"step {self.step}  loss {loss.item():.4f}  val_accuracy {right.item():.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
study = Study(parser.parse_args().seed)
study.phase(250, 2e-3, shift=False)
study.phase(350, 3e-2, shift=True)
