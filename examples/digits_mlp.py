"""A multi-layer perceptron that learns to read handwritten digits (1,797 images of 8 × 8, carried by scikit-learn).

python examples/digits_mlp.py                                    # a few seconds
python examples/digits_mlp.py --activation sigmoid --depth 20    # ruined: gradients vanish with depth
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}
BATCH = 64


class MLP(nn.Module):
    def __init__(self, depth, width, activation):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width if i else 64, width) for i in range(depth))
        self.activation = ACTIVATIONS[activation]()
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        for layer in self.layers:
            x = self.activation(layer(x))
        return self.head(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30, help="passes over the images (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=0.1, help="learning rate of SGD (default: %(default)s)")
    parser.add_argument("--depth", type=int, default=3, help="hidden layers (default: %(default)s)")
    parser.add_argument("--width", type=int, default=64, help="units of a hidden layer (default: %(default)s)")
    parser.add_argument("--activation", choices=ACTIVATIONS, default="relu", help="(default: %(default)s)")
    parser.add_argument("--dead-bias", type=float, default=0.0, help="mistake: hidden biases start here, such as -10")
    parser.add_argument("--init-gain", type=float, default=1.0, help="mistake: hidden weights are larger, such as 30")
    parser.add_argument("--input-scale", type=float, default=1.0, help="mistake: inputs are not scaled, such as 1e4")
    parser.add_argument("--no-zero-grad", action="store_true", help="mistake: the gradients of all steps add up")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16 * args.input_scale
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(images))
    train, val = order[:1500], order[1500:]

    model = MLP(args.depth, args.width, args.activation)
    with torch.no_grad():
        for layer in model.layers:
            layer.weight *= args.init_gain
            layer.bias += args.dead_bias
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)

    for epoch in range(1, args.epochs + 1):
        total = 0.0
        for batch in train[torch.randperm(len(train))].split(BATCH):
            loss = F.cross_entropy(model(images[batch]), labels[batch])
            if not args.no_zero_grad:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        if epoch % 5 == 0 or epoch == 1:
            print(f"epoch {epoch:3d}  loss {total / len(train):.4f}", flush=True)

    with torch.no_grad():
        accuracy = (model(images[val]).argmax(1) == labels[val]).float().mean().item()
    print(f"validation accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
