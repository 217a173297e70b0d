"""A sample's identity: a 64-bit hash of its row of the input, the same wherever in whichever batch it stands."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

MAX_COLUMNS = 1024
"""Of a longer row, this many evenly spaced numbers are hashed: rows that agree in all of them count as one sample."""

_WORDS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_GOLDEN = -7046029254386353131  # 2⁶⁴ divided by the golden ratio, odd, as a signed number
_MIX = -4658895280553007687  # an odd constant whose bits look random


def row_hashes(rows: Tensor) -> Int[Tensor, " n"]:
    """One 64-bit hash a row, from the bits of its numbers, computed where the rows are.

    Multiply–add hashing in integers modulo 2⁶⁴, so that neither the row's place, nor the batch's size, nor the device
    matters: two rows of the same bits have the same hash, and two others hardly ever (2⁻³⁰ a pair at worst).

    Parameters
    ----------
    rows : ``(n, …)``, of any dtype; at most :data:`MAX_COLUMNS` numbers of each row are used

    Raises
    ------
    ValueError
        If ``rows`` has no dimension, or rows without numbers.
    """
    if rows.dim() == 0 or not rows.numel():
        raise ValueError(f"rows: got shape {tuple(rows.shape)}; must be (n, …) with a number in each row")
    words = _words(rows.detach())
    columns = words.shape[1]
    places = torch.arange(1, columns + 1, device=rows.device, dtype=torch.int64)
    factors = _scramble(places * _GOLDEN) | 1
    return _scramble((words * factors).sum(dim=1) + columns)


def _words(rows: Tensor) -> Int[Tensor, "n words"]:
    if rows.is_complex():
        rows = torch.view_as_real(rows)
    flat = rows.reshape(rows.shape[0], -1)
    flat = flat[:, :: -(-flat.shape[1] // MAX_COLUMNS)].contiguous()
    if flat.is_floating_point():
        flat = flat.view(_WORDS[flat.element_size()])
    return flat.to(torch.int64)


def _scramble(h: Tensor) -> Tensor:
    h = (h ^ ((h >> 32) & 0xFFFFFFFF)) * _MIX
    h = (h ^ ((h >> 29) & 0x7FFFFFFFF)) * _GOLDEN
    return h ^ ((h >> 32) & 0xFFFFFFFF)
