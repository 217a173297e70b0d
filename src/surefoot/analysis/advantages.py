"""What a batch of advantages has to teach, and how undecided a policy still is."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

# Beside the largest advantage of a batch this is nothing, and in itself too: (r − mean)/(std + ε) of equal rewards is 0
# up to the rounding of the mean.
RELATIVE, ABSOLUTE = 1e-4, 1e-5
CENTRED = 1e-3  # of their absolute sum: what advantages of a group, less their mean, add up to by rounding


def zero_share(advantages: Float[Tensor, "samples ..."]) -> Float[Tensor, ""]:
    """Share of the samples (rows) whose advantages are all zero: they have no gradient.

    Columns are counted as well as rows where it is they that add up to zero, as groups less their mean do:
    rollouts may come first.

    In a group whose rewards are all the same every advantage is zero, so that this is one minus the effective gradient
    ratio of group-based policy gradients (share of groups with 0 < successes < G).
    """
    values = advantages.detach().reshape(len(advantages), -1)
    size = values.abs()
    least = (RELATIVE * size.max()).clamp_min(ABSOLUTE)
    of_rows, of_columns = ((size.amax(dim) <= least).float().mean() for dim in (1, 0))
    in_rows, in_columns = (
        (values.sum(dim).abs() <= CENTRED * size.sum(dim).clamp_min(ABSOLUTE)).all() for dim in (1, 0)
    )
    several = values.shape[1] > 1  # one column is no group: all of a batch may be less their mean
    found = torch.where(in_columns & ~in_rows, torch.maximum(of_rows, of_columns), of_rows)
    return found if several else of_rows


def categorical_entropy(logits: Float[Tensor, "*batch classes"]) -> Float[Tensor, ""]:
    """Mean entropy of the categorical distributions of ``logits`` (or log-probabilities), in nats."""
    log_probabilities = logits.log_softmax(-1)
    return -(log_probabilities.exp() * log_probabilities).sum(-1).mean()


def graded(factors: Float[Tensor, "samples ..."]) -> Bool[Tensor, ""]:
    """Whether the factors have more than two values (0-d): those of a mask are nothing and one other number."""
    values = factors.detach()
    return ((values > values.min()) & (values < values.max())).any()
