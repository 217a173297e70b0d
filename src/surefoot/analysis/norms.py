"""Norms of many tensors at once, right where float32 squares would under- or overflow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_SAFE = (1e-15, 1e15)  # squares and sums of norms in this range stay in float32's range


def fused_norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """L2 norm of each tensor as a 0-d tensor where it lives, in one fused pass, half types accumulated in float32."""
    if not tensors:
        return []
    half = any(t.dtype in (torch.float16, torch.bfloat16) for t in tensors)
    return list(torch._foreach_norm(list(tensors), 2, torch.float32 if half else None))


def exact_norms(lengths: np.ndarray, tensors: Sequence[Tensor | None]) -> np.ndarray:
    """What :func:`fused_norms` gave, with those measured again in float64 that float32 may have got wrong.

    Squares underflow below 1e-19 and overflow above 1e19. A tensor given as None is left as it is: to measure one on an
    accelerator again would mean to wait for it.
    """
    result = np.array(lengths, dtype=np.float64)
    for i in np.flatnonzero(~((result >= _SAFE[0]) & (result <= _SAFE[1]))):
        tensor = tensors[int(i)]
        if tensor is not None:
            result[i] = float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) if tensor.numel() else 0.0
    return result


def norms(tensors: Sequence[Tensor]) -> np.ndarray:
    """L2 norm of each tensor as float64; NaN or inf only where the tensor itself holds such a value."""
    if not tensors:
        return np.zeros(0)
    return exact_norms(np.array([float(n) for n in fused_norms(tensors)]), tensors)
