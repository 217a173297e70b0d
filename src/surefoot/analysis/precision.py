"""What float16 does to a tensor: values flushed to zero, values with few bits, how near the largest is to infinity.

Source of the ranges: IEEE 754 binary16; Micikevicius et al. 2018, "Mixed Precision Training", arXiv 1710.03740, §3.2.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

FLOAT16_MAX = torch.finfo(torch.float16).max
FLOAT16_TINY = torch.finfo(torch.float16).tiny
"""2⁻¹⁴: below it float16 loses one bit of precision with each halving, and below 2⁻²⁵ all of it."""


def flushed(values: Float[Tensor, " n"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The share of exact zeros, and the share of subnormal values (0 < |v| < 2⁻¹⁴) among all, both 0-d."""
    size = values.detach().abs()
    zero = (size == 0).float().mean()
    return zero, (size < FLOAT16_TINY).float().mean() - zero


def representable(values: Float[Tensor, " n"]) -> Bool[Tensor, ""]:
    """Whether float16 holds each of the values exactly, 0-d: what was computed in it and then cast.

    Of ordinary float32 numbers one in 2¹³ is; of zeros each, so that they prove nothing.
    """
    values = values.detach()
    return ((values == values.half().to(values.dtype)) & (values != 0)).sum() == (values != 0).sum()
