"""Weight decay that does not depend on the learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor


def independent_weight_decay(
    optimizer_groups: Iterable[Tensor] | Sequence[dict[str, Any]], lam: float, peak_lr: float | None = None
) -> list[dict[str, Any]]:
    """Parameter groups for :class:`torch.optim.AdamW` whose weights decay by s_t·λ a step, whatever the peak rate.

    AdamW takes θ ← θ − s_t η (Δ + w θ) with the schedule s_t from 0 to 1 and its ``weight_decay`` w. With w = λ/η that
    is θ ← θ − s_t (η Δ + λ θ), the decoupled form as it was meant: a change of the rate does not change the decay. It
    lowers the sensitivity to the learning rate.

    Parameters
    ----------
    optimizer_groups
        Parameters, or groups such as those of :func:`surefoot.optim.mu_groups`; those that name a ``weight_decay`` keep
        it (0 for norms and biases, say).
    lam
        λ; the paper's is 1e-4.
    peak_lr
        η, for groups that have no ``lr`` of their own.

    Returns
    -------
    list
        New groups, each with ``lr`` and ``weight_decay``.

    Raises
    ------
    ValueError
        If λ is negative, a rate is not positive or missing, or λ is above 1: the weights would change their sign.

    Source: Wortsman et al. 2024, arXiv 2309.14322, §3.2.2 (after Loshchilov, Hutter 2019). The paper prints the decay
    with the opposite sign, by mistake.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.ones(3))
    >>> independent_weight_decay([weight], 1e-4, 1e-2)[0]["weight_decay"]
    0.01
    """
    if not (math.isfinite(lam) and 0 <= lam <= 1):
        raise ValueError(f"lam: got {lam}; use a share of the weights to lose a step, such as 1e-4")
    given: list[Any] = list(optimizer_groups)
    groups = given if given and isinstance(given[0], dict) else [{"params": given}]
    made = []
    for number, group in enumerate(groups):
        lr = group.get("lr", peak_lr)
        if lr is None or not (math.isfinite(lr) and lr > 0):
            raise ValueError(f"peak_lr: group {number} has the rate {lr}; use a positive number, such as 1e-3")
        made.append({**group, "lr": lr, "weight_decay": group.get("weight_decay", lam / lr)})
    return made
