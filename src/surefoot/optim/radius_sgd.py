"""``RadiusSGD``: steps measured in radii of convergence, no learning rate.

Source: P. Sao, "Ghosts of Softmax", arXiv 2603.13552 (2026), section 4.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from surefoot.optim.safe_step import SafeStep


class RadiusSGD(SafeStep):
    """SGD without a learning rate: every step is ``r`` radii of convergence long (section 4, the ρ-set controller).

    p = −r·ρ_a(v)·v with v the direction of the (momentum) gradient. A scheduler's learning rate has no effect on the
    length; set the attribute ``r_max`` to anneal r.

    Parameters
    ----------
    params : parameters, or groups of them
    model : the module whose output are logits of a cross-entropy
    r : length of a step in radii; above 1 is outside the bound
    momentum, weight_decay, nesterov : as for ``torch.optim.SGD``; they shape the direction only
    options : as for :class:`SafeStep`
    """

    def __init__(
        self,
        params: Any,
        model: nn.Module,
        r: float = 1.0,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        **options: Any,
    ) -> None:
        inner = torch.optim.SGD(params, lr=1.0, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)
        super().__init__(inner, model, r_max=r, rule="set", **options)
