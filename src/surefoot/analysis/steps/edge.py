"""Curvature measured against what the optimiser can stand: at 1 oscillations stop dying out.

Sources: Cohen et al., arXiv 2103.00065 (2021) for gradient descent, arXiv 2207.14484 (2022) for Adam; Rosca, Wu, Qin,
Dherin, arXiv 2302.01952 (2023) for how the loss changes along the sharpest direction.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from surefoot.optim.stability import preconditioner, stability_limit

_SERIES, _SINGULAR = 1e-3, 1e-12


def edge_scale(
    optimizer: Optimizer, parameters: Sequence[Tensor]
) -> tuple[Float[Tensor, " parameters"], float, bool] | None:
    """The diagonal S for which the largest eigenvalue of S^½ H S^½ is 1 at the edge of stability.

    S is 1 / (limit of the parameter's group · preconditioner), see :func:`surefoot.optim.stability.stability_limit`; so
    for gradient descent that eigenvalue is ηλ/2, with momentum ηλ/(2 + 2β), for Adam λ of the preconditioned Hessian
    over (2 + 2β₁)/((1 − β₁)η). Groups may have rates of their own.

    Parameters
    ----------
    optimizer : as it is before the step
    parameters : which of its parameters, in the order wanted

    Returns
    -------
    S in one vector, the smallest limit over the groups (S times it is 1 for plain SGD with one group), and whether it
    is a preconditioned one; None for an optimiser whose limit is not known, or that does not move.
    """
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = inner
    try:
        limit = stability_limit(optimizer)
    except TypeError:
        return None
    if not 0 < limit.value < math.inf:
        return None
    pieces: dict[int, Tensor] = {}
    inverse = preconditioner(optimizer) if limit.preconditioned else None
    start = 0
    for group, most in zip(optimizer.param_groups, limit.groups, strict=True):
        for parameter in group["params"]:
            size = parameter.numel()
            part = torch.full((size,), 1 / most, dtype=torch.float32, device=parameter.device)
            if inverse is not None:
                part = part / inverse[start : start + size].to(part)
            pieces[id(parameter)] = part
            start += size
    if any(id(p) not in pieces for p in parameters):
        return None
    device = parameters[0].device
    return torch.cat([pieces[id(p)].to(device) for p in parameters]), limit.value, limit.preconditioned


def alpha_pf(z: float | complex) -> complex:
    """α(z) = log(1 − z)/z: −1 at 0; complex for z > 1, its real part negative below 2, zero at 2, positive beyond.

    At z = 1 the step lands on the minimum of its direction at once; there it is cut at |1 − z| = 1e-12.
    """
    z = complex(z)
    if abs(z) < _SERIES:
        return -(1 + z / 2 + z**2 / 3 + z**3 / 4)
    away = 1 - z
    if abs(away) < _SINGULAR:
        away = complex(math.copysign(_SINGULAR, away.real or 1.0))
    return cmath.log(away) / z


def principal_flow_rate(scaled_curvature: float, share: float) -> float:
    """What the principal flow says of the loss along one eigenvector: > 0 if a step raises it there.

    Re α(hλ)·(g·u)²/|g|² with α(z) = log(1 − z)/z: the rate of change of the loss along that direction in units of
    |g|², −(share²) for a step of no length, positive beyond hλ = 2.

    Parameters
    ----------
    scaled_curvature : hλ, learning rate times eigenvalue (twice the coefficient of gradient descent)
    share : |g·u|/|g|
    """
    return alpha_pf(scaled_curvature).real * share**2
