"""Norms of many tensors at once, right where float32 squares would under- or overflow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_SAFE = (1e-15, 1e15)  # squares and sums of norms in this range stay in float32's range


def norms(tensors: Sequence[Tensor]) -> np.ndarray:
    """L2 norm of each tensor as float64; NaN or inf only where the tensor itself holds such a value.

    Computed in one fused pass; a tensor whose float32 norm came out as 0, tiny, huge or non-finite is measured again in
    float64, since float32 squares underflow below 1e-19 and overflow above 1e19.
    """
    if not tensors:
        return np.zeros(0)
    half = any(t.dtype in (torch.float16, torch.bfloat16) for t in tensors)
    lengths = torch._foreach_norm(list(tensors), 2, torch.float32 if half else None)
    result = torch.stack([n.double() for n in lengths]).cpu().numpy().copy()
    for i in np.flatnonzero(~((result >= _SAFE[0]) & (result <= _SAFE[1]))):
        tensor = tensors[int(i)]
        result[i] = float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) if tensor.numel() else 0.0
    return result
