"""Adaptive gradient clipping: a unit's gradient may not exceed a share of its weights' norm.

Source: Brock, De, Smith, Simonyan, "High-performance large-scale image recognition without normalization", ICML 2021,
arXiv 2102.06171, section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Int
from torch import Tensor


@torch.no_grad()
def adaptive_clip_grad_(
    parameters: Tensor | Iterable[Tensor], clip: float = 0.01, eps: float = 1e-3
) -> Int[Tensor, ""]:
    """Scale, in place, the gradient G of each unit whose ‖G‖ exceeds clip · max(‖W‖, eps) to that (equation 3).

    A unit is a row of a weight: all that leads to one output of a layer (of a convolution, to one channel). Vectors,
    such as biases, count as one unit each. Called where :func:`torch.nn.utils.clip_grad_norm_` is. The ratio of the two
    norms is how much a step of gradient descent at rate 1 would change the unit, so the same ``clip`` serves layers of
    all sizes; the paper leaves the last layer of a classifier out, and takes the smaller ``clip`` the larger the batch
    (0.01 at 4096, 0.16 at 256).

    Parameters
    ----------
    parameters
        A tensor or several; those without a gradient are left out.
    clip
        Largest ratio λ of the two norms.
    eps
        Least norm that weights count with, so that weights at zero can still move.

    Returns
    -------
    Tensor
        0-d: how many units were clipped.

    Raises
    ------
    ValueError
        If ``clip`` or ``eps`` is not a positive number, or a gradient is sparse.
    """
    for name, value in (("clip", clip), ("eps", eps)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}: got {value}; use a positive number")
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    clipped: Tensor | None = None
    for parameter in given:
        gradient = parameter.grad
        if gradient is None or not gradient.numel():
            continue
        if gradient.is_sparse:
            raise ValueError(
                f"parameters: the gradient of one of shape {tuple(parameter.shape)} is sparse; leave it out, or use "
                "sparse=False"
            )
        allowed = clip * _unit_norms(parameter).clamp_min(eps)
        norms = _unit_norms(gradient)
        beyond = norms > allowed
        # Where nothing is clipped the factor is 1 exactly; a NaN stays what it is, for others to find.
        gradient.mul_(torch.where(beyond, allowed / norms, 1.0).to(gradient.dtype.to_real()))
        count = beyond.sum()
        clipped = count if clipped is None else clipped + count.to(clipped.device)
    return torch.zeros((), dtype=torch.int64) if clipped is None else clipped


def _unit_norms(tensor: Tensor) -> Tensor:
    """Norm of each row, kept broadcastable; of the whole where it is a vector or a number."""
    tensor = tensor.detach()
    wide = torch.float32 if tensor.dtype in (torch.float16, torch.bfloat16) else None
    if tensor.dim() < 2:
        return torch.linalg.vector_norm(tensor, dtype=wide)
    return torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.dim())), keepdim=True, dtype=wide)
