"""A convolutional network with batch norm and dropout that reads handwritten digits (carried by scikit-learn).

python examples/digits_cnn.py           # some ten seconds on two cores
python examples/digits_cnn.py --lr 1    # ruined: steps far too large
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class CNN(nn.Module):
    def __init__(self, detach_encoder, double_softmax):
        super().__init__()
        self.detach_encoder, self.double_softmax = detach_encoder, double_softmax
        self.encoder = nn.Sequential(
            *self.stage(1, 32),
            *self.stage(32, 32),
            nn.MaxPool2d(2),
            *self.stage(32, 64),
            *self.stage(64, 64),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(4 * 64, 10)

    @staticmethod
    def stage(inputs, outputs):
        return nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)

    def forward(self, images):
        features = self.encoder(images)
        if self.detach_encoder:
            features = features.detach()
        scores = self.head(self.dropout(features))
        return scores.softmax(1) if self.double_softmax else scores


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10, help="passes over the images (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=2e-3, help="learning rate of AdamW (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--double-softmax", action="store_true", help="mistake: softmax, then cross_entropy")
    parser.add_argument("--detach-encoder", action="store_true", help="mistake: no gradient reaches the convolutions")
    parser.add_argument("--head-only-optimizer", action="store_true", help="mistake: the optimiser holds only the head")
    parser.add_argument("--no-zero-grad", action="store_true", help="mistake: the gradients of all steps add up")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(images))
    train, val = order[:1500], order[1500:]
    loader = DataLoader(TensorDataset(images[train], labels[train]), batch_size=args.batch_size, shuffle=True)

    model = CNN(args.detach_encoder, args.double_softmax)
    held = model.head if args.head_only_optimizer else model
    optimizer = torch.optim.AdamW(held.parameters(), lr=args.lr, weight_decay=0.01)

    for epoch in range(1, args.epochs + 1):
        model.train()
        total = 0.0
        for inputs, targets in loader:
            loss = F.cross_entropy(model(inputs), targets)
            if not args.no_zero_grad:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(inputs)
        model.eval()
        with torch.no_grad():
            accuracy = (model(images[val]).argmax(1) == labels[val]).float().mean().item()
        print(f"epoch {epoch:3d}  loss {total / len(train):.4f}  validation accuracy {accuracy:.3f}", flush=True)


if __name__ == "__main__":
    main()
