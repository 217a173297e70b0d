"""Modular arithmetic as a classification problem, with a share of the training labels corrupted on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Operation = Literal["add", "sub", "mul"]


@dataclass(frozen=True)
class ModularData:
    """All pairs (a, b) of residues with their labels, and which of them are for training, corrupted, or for testing.

    Attributes
    ----------
    p, op
        Modulus, and the operation ∘ of the rule (a ∘ b) mod p.
    x : int64 [n, 2]
        The pairs, n = p², in the shuffled order.
    y : int64 [n]
        The labels as given: those of ``idx_corrupt`` are replaced by uniform draws.
    y_true : int64 [n]
        The labels by the rule.
    idx_train, idx_corrupt, idx_test : int64
        Row numbers. ``idx_corrupt`` is the head of ``idx_train``; a draw there may be right by chance (1/p).
    """

    p: int
    op: Operation
    x: Int[Tensor, "n 2"]
    y: Int[Tensor, " n"]
    y_true: Int[Tensor, " n"]
    idx_train: Int[Tensor, " train"]
    idx_corrupt: Int[Tensor, " corrupt"]
    idx_test: Int[Tensor, " test"]

    @property
    def idx_clean(self) -> Int[Tensor, " clean"]:
        """The training rows whose labels were left alone."""
        return self.idx_train[self.idx_corrupt.numel() :]

    def to(self, device: torch.device | str) -> ModularData:
        """The same data on another device."""
        names = ("x", "y", "y_true", "idx_train", "idx_corrupt", "idx_test")
        return ModularData(self.p, self.op, *(getattr(self, name).to(device) for name in names))


def modular_dataset(
    p: int,
    op: Operation = "add",
    data_fraction: float = 0.5,
    corruption: float = 0.0,
    seed: int | torch.Generator = 0,
) -> ModularData:
    """All p² pairs (a, b), labelled (a ∘ b) mod p, shuffled, split, and partly mislabelled.

    The first ⌊data_fraction · p²⌋ shuffled pairs are for training, the rest for testing; test labels are always true.
    The labels of the first ⌊corruption · n_train⌋ training pairs are replaced by uniform draws from all p classes
    (Doshi et al. 2024, "To grok or not to grok", arXiv 2310.13061).

    Parameters
    ----------
    p : modulus, at least 3; a prime where each residue should be invertible
    op : "add", "sub" or "mul". "mul" keeps the 2p − 1 pairs with a zero: their label is 0, so class 0 is the largest
    data_fraction : α in (0, 1]
    corruption : ξ in [0, 1], the share of the training labels that is drawn anew
    seed : an int, or a CPU ``torch.Generator``, which is advanced

    Raises
    ------
    ValueError
        If p < 3, a fraction is out of its range, the operation is unknown, or no pair would be left for training.
    """
    if p < 3:
        raise ValueError(f"p must be an integer of at least 3, got {p}")
    if op not in ("add", "sub", "mul"):
        raise ValueError(f"op must be 'add', 'sub' or 'mul', got {op!r}")
    if not 0 < data_fraction <= 1:
        raise ValueError(f"data_fraction must be in (0, 1], got {data_fraction}")
    if not 0 <= corruption <= 1:
        raise ValueError(f"corruption must be in [0, 1], got {corruption}")
    generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
    total = p * p
    train = int(data_fraction * total + 1e-9)
    if train == 0:
        raise ValueError(f"data_fraction {data_fraction} of {total} pairs leaves none for training; take a larger one")
    corrupt = int(corruption * train + 1e-9)
    x = torch.cartesian_prod(torch.arange(p), torch.arange(p))[torch.randperm(total, generator=generator)]
    a, b = x.unbind(dim=1)
    y_true = (a + b if op == "add" else a - b if op == "sub" else a * b) % p
    y = y_true.clone()
    y[:corrupt] = torch.randint(p, (corrupt,), generator=generator)
    rows = torch.arange(total)
    return ModularData(p, op, x, y, y_true, rows[:train], rows[:corrupt], rows[train:])


def one_hot_pairs(
    x: Int[Tensor, "batch 2"], p: int, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "batch two_p"]:
    """The pairs as concatenated one-hot vectors, [batch, 2p]: what a plain multilayer perceptron takes."""
    return torch.nn.functional.one_hot(x, p).to(dtype).flatten(1)
