"""The scale of what enters a model, over all and by feature, and the size of what its first layer makes of it.

LeCun, Bottou, Orr and Müller, "Efficient BackProp", 1998, §4.3: the curvature that the first layer sees is the second
moment of its inputs, so that inputs of very different scales, or far from zero, make a long narrow valley. Roberts,
Yaida and Hanin 2022 (arXiv 2106.10165): a layer passes signals on at their size if pre-activations are of order one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MAX_ELEMENTS = 1 << 18
"""Of larger inputs the first rows are read, of larger weights evenly spaced units."""


@dataclass(frozen=True)
class InputScale:
    """Each a 0-d tensor where the inputs are, in the inputs' own unit but for ``spread``.

    Attributes
    ----------
    mean, rms, largest : mean, root mean square, and largest magnitude
    spread : largest over median amplitude of the features, an amplitude being the root mean square of a feature's
        numbers that are not zero: a rare one-hot column is as large as a frequent one
    second_moments : ``(features,)``, mean square of each feature
    variation : root mean square of what features have beside their own means, over ``rms``: next to 0 where all rows
        are alike but for a little
    """

    mean: Float[Tensor, ""]
    rms: Float[Tensor, ""]
    largest: Float[Tensor, ""]
    spread: Float[Tensor, ""]
    second_moments: Float[Tensor, " features"]
    variation: Float[Tensor, ""]


def input_scale(inputs: Tensor, feature_dim: int = -1) -> InputScale:
    """Statistics of floating-point inputs.

    Parameters
    ----------
    inputs : ``(n, …)``; channels-first images have ``feature_dim`` 1, features of a table the last dimension

    Raises
    ------
    ValueError
        For inputs that are not floating-point, or empty, or a dimension they don't have.
    """
    if not inputs.is_floating_point() or not inputs.numel() or not -inputs.dim() <= feature_dim < inputs.dim():
        raise ValueError(
            f"inputs: got {inputs.dtype} of shape {tuple(inputs.shape)}; must be floating-point, not empty, and have "
            f"dimension {feature_dim}"
        )
    inputs = inputs.detach()
    if inputs.numel() > MAX_ELEMENTS:
        inputs = inputs[: max(1, MAX_ELEMENTS * inputs.shape[0] // inputs.numel())]
    rows = inputs.movedim(feature_dim, -1).reshape(-1, inputs.shape[feature_dim]).float()
    squares = rows.square().sum(dim=0)
    amplitude = (squares / rows.count_nonzero(dim=0)).sqrt()  # NaN for a feature that is always zero
    moments = squares / rows.shape[0]
    spread = torch.nan_to_num(amplitude, nan=0.0).max() / amplitude.nanmedian()
    variation = (rows.var(dim=0, correction=0).mean() / moments.mean()).sqrt()
    return InputScale(rows.mean(), moments.mean().sqrt(), rows.abs().max(), spread, moments, variation)


def preactivation_scale(second_moments: Float[Tensor, " features"], weight: Float[Tensor, "units ..."]) -> Tensor:
    """Root mean square of W x over units, for weights that know nothing of x yet, 0-d: √(meanᵤ Σᵢ wᵤᵢ² E[xᵢ²]).

    Exact for independent weights of zero mean, as at initialisation, whatever the covariance of x.

    Parameters
    ----------
    weight : ``(units, features)``, or ``(units, features, …)`` of a convolution; a grouped one is taken as one
    """
    weight = weight.detach()
    if weight.numel() > MAX_ELEMENTS:
        weight = weight[:: math.ceil(weight.numel() / MAX_ELEMENTS)]
    power = weight.float().square().flatten(1) if weight.dim() == 2 else weight.float().square().flatten(2).sum(dim=2)
    if power.shape[1] != second_moments.shape[0]:
        return (power.sum(dim=1).mean() * second_moments.mean()).sqrt()
    return (power @ second_moments).mean().sqrt()


def far_targets(targets: Float[Tensor, "n ..."], fence: float = 3.0) -> Float[Tensor, " n"]:
    """How far each row's target is beyond the quartiles, in interquartile ranges: 0 within Tukey's outer fences, below
    zero where it is too low. Of several numbers a row, the furthest.

    Two normal numbers in a million are beyond three ranges. A column of which half is one number has no range, and none
    of it is far.

    Source: Tukey 1977, "Exploratory Data Analysis".
    """
    if not fence > 0:
        raise ValueError(f"fence: got {fence}; must be above 0")
    columns = targets.detach().float().reshape(len(targets), -1)
    low, high = columns.quantile(columns.new_tensor([0.25, 0.75]), dim=0)
    beyond = (columns - high).clamp(min=0) - (low - columns).clamp(min=0)
    beyond = torch.where(high > low, beyond / (high - low), 0.0)
    furthest = beyond.gather(1, beyond.abs().argmax(dim=1, keepdim=True)).squeeze(1)
    return torch.where(furthest.abs() > fence, furthest, 0.0)


def far_rows(inputs: Float[Tensor, "n ..."], factor: float = 4.0) -> Bool[Tensor, " n"]:
    """Rows whose root mean square is more than ``factor`` times the median row's.

    Sizes of rows of d independent normal numbers scatter by 1/√(2d) of themselves; of one such number, seven in a
    thousand are four times the median size.
    """
    if not factor > 1:
        raise ValueError(f"factor: got {factor}; must be above 1")
    sizes = inputs.detach().float().reshape(len(inputs), -1).square().mean(dim=1).sqrt()
    return sizes > factor * sizes.median()


class ColumnErrors(NamedTuple):
    """How far apart the outputs of a regression are in scale, and what is left to be learned: of all together, and of
    the one of which most is; each 0-d."""

    spread: Tensor
    left: Tensor
    most: Tensor


def column_errors(outputs: Float[Tensor, "n outputs"], targets: Float[Tensor, "n outputs"]) -> ColumnErrors:
    """The largest deviation of an output's targets over the smallest; the squared error of all outputs together over
    what each one's mean would score, and the same of the output of which least is learned (1: nothing).

    Outputs whose targets are all alike are left out.
    """
    outputs, targets = outputs.detach().float(), targets.detach().float()
    variance, error = targets.var(0, correction=0), (outputs - targets).square().mean(0)
    moves = variance > 0
    least = torch.where(moves, variance, torch.inf).min()
    shares = torch.where(moves, error / variance, 0.0)
    return ColumnErrors((variance.max() / least).sqrt(), error[moves].sum() / variance.sum(), shares.max())
