"""Sparse parity: the label is the parity of a few bits; the others are noise."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def sparse_parity(
    samples: int, noise_bits: int, *, parity_bits: int = 3, seed: int = 0
) -> tuple[Float[Tensor, "samples bits"], Int[Tensor, " samples"]]:
    """Random bits in {0, 1} and the parity of the first ``parity_bits`` of each row.

    Parameters
    ----------
    samples : number of rows
    noise_bits : bits that say nothing
    parity_bits : bits whose parity is the label
    seed : of the bits

    Raises
    ------
    ValueError
        If a number is below one (``noise_bits``: below zero).
    """
    for name, value, least in (("samples", samples, 1), ("parity_bits", parity_bits, 1), ("noise_bits", noise_bits, 0)):
        if value < least:
            raise ValueError(f"{name}: got {value}; use at least {least}")
    generator = torch.Generator().manual_seed(seed)
    bits = torch.randint(2, (samples, parity_bits + noise_bits), generator=generator)
    return bits.float(), bits[:, :parity_bits].sum(dim=1) % 2
