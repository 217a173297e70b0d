"""sign forwards, an estimator's slope backwards."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import threshold

from surefoot.nn.binary.estimators import Estimator, Sharpness, estimator_of

_NARROW = (torch.float16, torch.bfloat16)  # powers are taken in float32


def binarize(
    z: Float[Tensor, "*shape"], estimator: str | Estimator = "reste", **parameters: float
) -> Float[Tensor, "*shape"]:
    """±1 forwards, +1 at zero; backwards the gradient times the estimator's slope.

    Parameters
    ----------
    z : real weights or activations, of any floating dtype and device. A NaN stays one
    estimator : ``"reste"``, ``"ste"``, ``"approx_sign"``, ``"sign_swish"``, ``"ede"``, or an :class:`Estimator`
    parameters : those of the estimator; of ReSTE ``o=3.0``, ``clip=1.5``, ``knee=0.1``

    Returns
    -------
    Tensor
        Of the shape and dtype of ``z``. Only ``z`` is kept for the backward.

    Raises
    ------
    TypeError
        If ``z`` is not real and floating.
    ValueError
        For an unknown estimator, or a parameter out of range.

    Notes
    -----
    Second derivatives take the slope as a constant: they are those of the surrogate network linearised in each sign.

    Source: arXiv 2308.06689, equations for f and its gradient with both truncations.
    """
    made = estimator_of(estimator, **parameters)
    return apply_sign(_floating(z), made, made.sharpness)


def surrogate_value(
    z: Float[Tensor, "*shape"], estimator: str | Estimator = "reste", **parameters: float
) -> Float[Tensor, "*shape"]:
    """The function that stands for sign, for plots and meters: of ReSTE sign(z)|z|^(1/o), untruncated.

    Parameters and errors are those of :func:`binarize`.
    """
    made = estimator_of(estimator, **parameters)
    return made.value(_wide(_floating(z)), made.sharpness).to(z.dtype)


def surrogate_gradient(
    z: Float[Tensor, "*shape"], estimator: str | Estimator = "reste", **parameters: float
) -> Float[Tensor, "*shape"]:
    """The slope that the gradient is multiplied by at ``z``. Parameters and errors are those of :func:`binarize`."""
    made = estimator_of(estimator, **parameters)
    return made.slope(_wide(_floating(z)), made.sharpness).to(z.dtype)


def apply_sign(z: Tensor, estimator: Estimator, sharpness: Sharpness) -> Tensor:
    """:func:`binarize` with a sharpness that is a number or a 0-d tensor; nothing is checked."""
    if not isinstance(sharpness, Tensor):
        sharpness = torch.full((), sharpness, dtype=torch.float64)  # on the CPU: as a scalar it mixes with any device
    return _Sign.apply(z, sharpness, estimator)


class _Sign(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, sharpness: Tensor, estimator: Estimator) -> Tensor:
        # −1 in place of each −z ≤ 0, then of each z < 0: +1 at zero, NaN as it is, all in vectorised passes
        return threshold(threshold(z.neg(), 0, -1).neg_(), 0, -1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Estimator], output: Tensor) -> None:
        z, sharpness, ctx.estimator = inputs
        ctx.save_for_backward(z, sharpness)
        ctx.save_for_forward(z, sharpness)

    @staticmethod
    def _slope(ctx: Any, dtype: torch.dtype) -> Tensor:
        z, sharpness = (t.detach() for t in ctx.saved_tensors)
        z = _wide(z)
        return ctx.estimator.slope(z, sharpness.to(z.dtype)).to(dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient * _Sign._slope(ctx, gradient.dtype), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
        return tangent * _Sign._slope(ctx, tangent.dtype)


def _floating(z: Tensor) -> Tensor:
    if not isinstance(z, Tensor) or not z.is_floating_point():
        kind = z.dtype if isinstance(z, Tensor) else type(z).__name__
        raise TypeError(f"z: got {kind}; use a real floating tensor")
    return z


def _wide(z: Tensor) -> Tensor:
    return z.float() if z.dtype in _NARROW else z
