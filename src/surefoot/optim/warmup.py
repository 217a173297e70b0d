"""Linear warm-up: the share of the learning rate that the first steps are taken with, alone or before a cosine."""

from __future__ import annotations

import math


def warmup_factor(step: int, steps: int) -> float:
    """step/steps until ``steps``, then 1.

    Adam divides by a running average of squared gradients that rests on few samples at first, and the curvature is
    often largest at the start: both make the first steps the least safe. For the averages to be of full length,
    ``steps`` = 2/(1 − β₂) (Ma, Yarats, "On the adequacy of untuned warmup for adaptive optimization", AAAI 2021,
    arXiv 1910.04209): 2000 at β₂ = 0.999, 40 at 0.95.

    Parameters
    ----------
    step : of the step that is about to be taken, from 1
    steps : at which the full rate is reached, 1 or more

    Raises
    ------
    ValueError
        If one of them is smaller than 1.

    Examples
    --------
    >>> [warmup_factor(step, 4) for step in (1, 2, 4, 9)]
    [0.25, 0.5, 1.0, 1.0]

    With PyTorch's own scheduler, which counts from 0:

    >>> torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: warmup_factor(t + 1, 100))  # doctest: +SKIP
    """
    if steps < 1 or step < 1:
        raise ValueError(f"step, steps: got {step} and {steps}; both count from 1")
    return min(1.0, step / steps)


def warmup_cosine(step: int, lr: float, *, warmup: int, total: int, final_lr: float = 1e-5) -> float:
    """The learning rate of a step: linear from 0 to ``lr``, then half a cosine down to ``final_lr``.

    η_t = η · t/T_w up to T_w, then η_min + (η − η_min)(1 + cos(π(t − T_w)/(T − T_w)))/2. A longer warm-up makes a model
    mind its peak rate less, larger models more so. Warm-up counts in steps: compare lengths at one ``total``.

    Parameters
    ----------
    step : from 0 to ``total``; beyond, the rate stays
    lr : peak rate, reached at step ``warmup``
    warmup : steps of warm-up, less than ``total``; 0 for none
    total : steps in all
    final_lr : rate at step ``total``

    Raises
    ------
    ValueError
        If ``step`` is negative, ``warmup`` is not in 0 … ``total`` − 1, or a rate is negative.

    Source: Wortsman et al. 2024, arXiv 2309.14322, §2.1 (5,000 of 100,000 steps) and §3.2.1.

    Examples
    --------
    >>> [warmup_cosine(step, 1.0, warmup=2, total=4, final_lr=0.0) for step in range(5)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if step < 0 or not 0 <= warmup < total:
        raise ValueError(f"step, warmup, total: got {step}, {warmup} and {total}; 0 ≤ step and 0 ≤ warmup < total")
    if lr < 0 or final_lr < 0:
        raise ValueError(f"lr, final_lr: got {lr} and {final_lr}; rates are not negative")
    if step < warmup:
        return lr * step / warmup
    share = min(1.0, (step - warmup) / (total - warmup))
    return final_lr + (lr - final_lr) * (1 + math.cos(math.pi * share)) / 2
