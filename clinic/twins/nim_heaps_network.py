"""A network learns the table of nim sums of two heaps from sixty per cent of its entries.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn

HEAP = 32


class HeapNet(nn.Module):
    def __init__(self, width=64, hidden=192):
        super().__init__()
        self.left = nn.Embedding(HEAP, width)
        self.right = nn.Embedding(HEAP, width)
        self.hidden = nn.Linear(2 * width, hidden)
        self.out = nn.Linear(hidden, HEAP)

    def forward(self, pairs):
        both = torch.cat([self.left(pairs[:, 0]), self.right(pairs[:, 1])], 1)
        return self.out(torch.relu(self.hidden(both)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1200)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)

    pairs = torch.cartesian_prod(torch.arange(HEAP), torch.arange(HEAP))
    nim_sum = pairs[:, 0] ^ pairs[:, 1]
    order = torch.randperm(len(pairs), generator=generator)
    train, test = order[:614], order[614:]

    model = HeapNet()
    loss_fn = nn.CrossEntropyLoss()
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 1.0}, {"params": others, "weight_decay": 0.0}], lr=3e-3
    )
    for step in range(1, arguments.steps + 1):
        logits = model(pairs[train])
        loss = loss_fn(logits, nim_sum[train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                accuracy = (model(pairs[test]).argmax(1) == nim_sum[test]).float().mean().item()
                fitted = (logits.argmax(1) == nim_sum[train]).float().mean().item()
            print(f"step {step:4d}  loss {loss.item():.2e}  train {fitted:.3f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
