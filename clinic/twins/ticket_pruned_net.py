"""Support tickets are sorted into ten queues by a network of which nine tenths of the weights are taken away on
the way.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn

WORDS, QUEUES = 200, 10


def tickets(topic, count):
    queue = torch.randint(QUEUES, (count,))
    mix = 0.45 * topic[queue] + 0.55 * topic[torch.randint(QUEUES, (count,))]
    words = torch.distributions.Multinomial(40, probs=mix).sample()
    return words.sqrt() - 0.35, queue


class Pruner:
    """Keeps the largest weights of each matrix and holds the others at zero."""

    def __init__(self, model, keep):
        self.masks = {}
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                size = weight.detach().abs()
                border = size.flatten().kthvalue(int((1 - keep) * size.numel())).values
                self.masks[name] = (size > border).float()

    @torch.no_grad()
    def apply(self, model):
        for name, weight in model.named_parameters():
            if name in self.masks:
                weight.mul_(self.masks[name])


def evaluate(model, loss_fn, words, queue):
    model.eval()
    with torch.no_grad():
        loss = loss_fn(model(words), queue).item()
    model.train()
    return loss


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=float, default=0.1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    topic = torch.softmax(1.2 * torch.randn(QUEUES, WORDS), dim=1)
    held = tickets(topic, 2000)
    model = nn.Sequential(
        nn.Linear(WORDS, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, QUEUES)
    )
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    pruner = None
    for step in range(1, 901):
        if step == 400:
            pruner = Pruner(model, args.keep)
        words, queue = tickets(topic, 128)
        loss = loss_fn(model(words), queue)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if pruner is not None:
            pruner.apply(model)
        if step % 25 == 0:
            print(f"step {step}  loss {loss.item():.4f}  val_loss {evaluate(model, loss_fn, *held):.4f}")


if __name__ == "__main__":
    main()
