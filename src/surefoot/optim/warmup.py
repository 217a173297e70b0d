"""Linear warm-up: the share of the learning rate that the first steps are taken with."""

from __future__ import annotations


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
