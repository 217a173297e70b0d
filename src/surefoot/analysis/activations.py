"""What an activation says about its layer: moments, dead units, saturation."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

FLAT = 0.02
"""An output is in the flat part where the derivative is below this share of its maximum: a gradient that passes three
such layers is scaled by less than 1e-5."""

# The outputs beyond which the derivative is below FLAT of its maximum, as (low, high).
# tanh' = 1 - y², maximum 1;  sigmoid' = y (1 - y), maximum 1/4;  the hard versions are flat exactly at their ends.
_TANH = (1 - FLAT) ** 0.5
_SIGMOID = (1 + (1 - FLAT) ** 0.5) / 2
_FLAT_OUTSIDE = {
    "tanh": (-_TANH, _TANH),
    "sigmoid": (1 - _SIGMOID, _SIGMOID),
    "hardtanh": (-1.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "softsign": (-1 + FLAT**0.5, 1 - FLAT**0.5),
}
BOUNDED = frozenset(_FLAT_OUTSIDE)
"""Activations that saturate on both sides."""

RECTIFIED = frozenset({"relu", "relu6"})
"""Activations whose output and derivative are exactly 0 on one side."""


def moments(output: Float[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Mean and root mean square over all elements, as 0-d float32 tensors.

    Non-finite elements make both non-finite; integers and half types are computed in float32.
    """
    output = output.detach()
    if output.dtype != torch.float32:
        output = output.float()
    return output.mean(), torch.linalg.vector_norm(output) / max(1, output.numel()) ** 0.5


def active_units(output: Float[Tensor, ...], unit_dim: int = -1) -> Bool[Tensor, " units"]:
    """Which units were non-zero for at least one row.

    A unit of a rectified layer that is zero for every row passes no gradient to its weights: if it is so for all data
    it can't come back (a dying ReLU; Lu et al. 2019, arXiv 1903.06733).

    Parameters
    ----------
    output : rectified output of a layer, any shape
    unit_dim : the dimension that holds units (features or channels); all others are rows
    """
    output = output.detach()
    if output.dim() == 0:
        return (output != 0).reshape(1)
    others = [d for d in range(output.dim()) if d != unit_dim % output.dim()]
    return output.amax(dim=others) != 0 if others else output != 0


def active_share(output: Float[Tensor, ...]) -> Tensor:
    """Share of the outputs of a rectified layer that are not zero, as a 0-d float32 tensor: what a gradient passes.

    Of units that are each off for all rows but a few it is small, where none of them is dead.
    """
    return (output.detach() != 0).float().mean()


def saturated_share(output: Float[Tensor, ...], kind: str) -> Tensor:
    """Share of the outputs of a bounded activation that lie in its flat part, as a 0-d float32 tensor.

    Flat is where the derivative is below :data:`FLAT` of its maximum: |tanh| > 0.990, sigmoid outside (0.005, 0.995).

    Parameters
    ----------
    output : the activation's output, any shape
    kind : one of :data:`BOUNDED`

    Raises
    ------
    ValueError
        for a kind that does not saturate on both sides.
    """
    if kind not in _FLAT_OUTSIDE:
        raise ValueError(f"kind must be one of {', '.join(sorted(BOUNDED))}; got {kind!r}")
    low, high = _FLAT_OUTSIDE[kind]
    output = output.detach()
    if output.dtype != torch.float32:
        output = output.float()
    # one pass each, no boolean temporaries of the input's size kept
    return 1 - ((output > low) & (output < high)).float().mean()


def unanswered_error(
    output: Float[Tensor, "rows ..."], targets: Float[Tensor, "rows ..."], kind: str
) -> Float[Tensor, ""]:
    """Squared error that the last activation passes no gradient of, over the spread of the targets, as a 0-d tensor.

    It is the error of a bounded activation's outputs in the flat part, and of a rectified one's at 0 whose target is
    below. The spread is about each unit's own mean, which a constant prediction is off by: of what there is to explain,
    the result is the share that no step brings nearer.

    Parameters
    ----------
    output : what the last activation gave, rows first
    targets : of the same shape
    kind : one of :data:`BOUNDED` or :data:`RECTIFIED`
    """
    output, targets = output.detach().float(), targets.detach().float()
    if kind in RECTIFIED:
        lost = (output == 0) & (targets < 0)
    else:
        low, high = _FLAT_OUTSIDE[kind]
        lost = (output < low) | (output > high)
    spread = (targets - targets.mean(dim=0)).square().sum()
    return torch.where(lost, (output - targets).square(), 0).sum() / spread


def dead_outputs(output: Float[Tensor, "rows ..."], targets: Float[Tensor, "rows ..."]) -> Float[Tensor, ""]:
    """The share of a last ReLU's units that are 0 for every row, and that a constant of their own would be better for.

    Better by a tenth of its squared error at least: a unit whose target is 0 but for a row or two, as at the border of
    an image, loses nothing by being off.

    Parameters
    ----------
    output : what the last activation gave, rows first
    targets : of the same shape
    """
    output, targets = output.detach().flatten(1), targets.detach().float().flatten(1)
    about_zero, mean = targets.square().mean(dim=0), targets.mean(dim=0)
    return ((output == 0).all(dim=0) & (about_zero > 1.1 * (about_zero - mean.square()))).float().mean()
