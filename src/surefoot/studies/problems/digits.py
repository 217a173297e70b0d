"""Handwritten digits (1,797 images of 8 × 8, carried by scikit-learn), and small classifiers for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Kind = Literal["linear", "mlp", "mlp-ln", "cnn-bn", "transformer"]


@dataclass(frozen=True)
class Digits:
    """Pixels in [0, 1] as rows of 64, and labels, split into training and test rows."""

    x_train: Float[Tensor, "train 64"]
    y_train: Int[Tensor, " train"]
    x_test: Float[Tensor, "test 64"]
    y_test: Int[Tensor, " test"]


def digits(seed: int, test_share: float = 0.2) -> Digits:
    """The digits, shuffled and split by the seed.

    Raises
    ------
    ImportError
        If scikit-learn, which carries the images, isn't there.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("the digits come with scikit-learn: pip install 'surefoot[examples]'") from error
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(seed))
    x = torch.tensor(data.data, dtype=torch.float32)[order] / 16
    y = torch.tensor(data.target, dtype=torch.int64)[order]
    test = round(test_share * len(y))
    return Digits(x[test:], y[test:], x[:test], y[:test])


def classifier(kind: Kind, seed: int) -> nn.Module:
    """A classifier of rows of 64 pixels, drawn with its own seed; the global random state is left as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "linear":
            return nn.Sequential(nn.Linear(64, 10))
        if kind == "mlp":
            return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
        if kind == "mlp-ln":
            return nn.Sequential(nn.Linear(64, 128), nn.LayerNorm(128), nn.ReLU(), nn.Linear(128, 10))
        if kind == "cnn-bn":
            return nn.Sequential(
                nn.Unflatten(1, (1, 8, 8)),
                nn.Conv2d(1, 16, 3, padding=1),
                nn.BatchNorm2d(16),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(16, 32, 3, padding=1),
                nn.BatchNorm2d(32),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(32 * 16, 10),
            )
        if kind == "transformer":
            return RowTransformer()
    raise ValueError(f"kind: got {kind!r}; use 'linear', 'mlp', 'mlp-ln', 'cnn-bn' or 'transformer'")


class RowTransformer(nn.Module):
    """One transformer layer over the eight rows of an image, their mean into the classes."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.position = nn.Parameter(0.1 * torch.randn(8, width))
        self.block = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.0, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Float[Tensor, "batch 64"]) -> Float[Tensor, "batch 10"]:
        rows = self.embed(x.unflatten(1, (8, 8))) + self.position
        return self.head(self.block(rows).mean(dim=1))
