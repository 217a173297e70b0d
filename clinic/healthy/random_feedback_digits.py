"""Digits without weight transport: the error comes back through fixed random matrices.

condition: healthy
metric: val_error min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


class Feedback(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, back):
        ctx.save_for_backward(x, back)
        return x @ weight.T + bias

    @staticmethod
    def backward(ctx, grad):
        x, back = ctx.saved_tensors
        return grad @ back, grad.T @ x, grad.sum(0), None


class FeedbackLinear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("back", torch.randn(outputs, inputs) / inputs**0.5)

    def forward(self, x):
        return Feedback.apply(x, self.weight, self.bias, self.back)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32) / 6 - 0.8, torch.tensor(y)
    order = torch.randperm(len(x))
    train, val = order[:1300], order[1300:]
    model = nn.Sequential(
        FeedbackLinear(64, 160), nn.Tanh(), FeedbackLinear(160, 80), nn.Tanh(), FeedbackLinear(80, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    epochs = 40
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(1, epochs + 1):
        for rows in train[torch.randperm(len(train))].split(50):
            picture = x[rows] + 0.3 * torch.randn(len(rows), 64)
            loss = F.cross_entropy(model(picture), y[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        if epoch % 2 == 0:
            with torch.no_grad():
                wrong = (model(x[val]).argmax(1) != y[val]).float().mean().item()
                one, two = model[2].weight.flatten(), model[2].back.flatten()
                aligned = F.cosine_similarity(one, two, 0).item()
            print(f"epoch {epoch}  loss {loss.item():.4f}  aligned {aligned:.2f}  val_error {wrong:.4f}")


if __name__ == "__main__":
    main()
