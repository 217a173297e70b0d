"""How much of an adaptive step is left beside the ε in its denominator.

Adam divides by √v̂ + ε. Where √v̂ is far above ε the size of a gradient does not matter; below it a step shrinks with the
gradient, and the layer stops. Source: Wortsman et al. 2024, arXiv 2309.14322, §3.4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def second_moment(state: Mapping[str, Any]) -> tuple[Tensor, bool] | None:
    """The tensor that an adaptive optimiser's denominator is made of, and whether it is a square.

    Known by the names that torch gives them: Adam, AdamW, NAdam and RAdam (``exp_avg_sq``, or ``max_exp_avg_sq`` with
    AMSGrad), Adamax (``exp_inf``, no square, and with its ε added to it), RMSprop (``square_avg``), Adagrad
    (``sum``). None for others, and for those whose ε stands elsewhere (Adadelta) or whose variance is centred.
    """
    if "acc_delta" in state or "grad_avg" in state:
        return None
    for name in ("max_exp_avg_sq", "exp_avg_sq", "exp_inf", "square_avg", "sum"):
        value = state.get(name)
        if isinstance(value, Tensor) and value.is_floating_point() and value.dim() > 0:
            return value, name != "exp_inf"
    return None


def bias_correction(state: Mapping[str, Any], group: Mapping[str, Any]) -> Tensor | float:
    """√(1 − β₂ᵗ), by which the root of ``exp_avg_sq`` is divided; 1 for optimisers that do not correct."""
    betas = group.get("betas")
    if "exp_avg_sq" not in state or not isinstance(betas, tuple | list) or len(betas) < 2:
        return 1.0
    step, beta = state.get("step", math.inf), betas[1]
    if isinstance(step, Tensor) and not step.is_cpu:
        return (1 - beta**step).sqrt()  # a step that lives on a device: don't wait for it
    correction = 1 - float(beta) ** float(step)
    return math.sqrt(correction) if correction > 0 else 1.0


def effective_eps(eps: float, dtype: torch.dtype) -> float:
    """ε as the dtype of the optimiser's state holds it: 1e-8 is 0 in float16."""
    return float(torch.tensor(eps, dtype=dtype))


def epsilon_domination(root: Float[Tensor, " n"], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of √v̂ and ε: how many elements are below ε, the sum of √v̂/(√v̂ + ε), and how many elements count.

    All are 0-d. Elements with √v̂ = 0 never had a gradient and do not count.
    """
    met = root > 0
    factor = torch.where(met, root / (root + eps), 0)
    return (met & (root < eps)).sum(), factor.sum(), met.sum()
