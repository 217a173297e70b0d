"""What the backward pass pretends that sign was: estimators, each a function f and its slope φ.

The sharper φ is around zero, the closer f is to sign and the more uneven are the gradients: that is the equilibrium
which ReSTE moves along with one number o, from the straight-through estimator (o = 1) towards sign (o → ∞).
Source: Wu, Zheng, Liu, Zheng, "Estimator Meets Equilibrium Perspective: A Rectified Straight Through Estimator for
Binary Neural Networks Training", ICCV 2023, arXiv 2308.06689. The other estimators are those it compares with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

Sharpness = float | Tensor  # a number, or a 0-d tensor on the device of z, so that nothing waits for the device


def _within(value: Tensor, z: Tensor, bound: float) -> Tensor:
    """``value`` where |z| ≤ ``bound``, else 0, in one pass: boolean masks are slow on a CPU."""
    bits = 53 if z.dtype == torch.float64 else 24
    mantissa, exponent = math.frexp(bound)
    beyond = math.ldexp(round(mantissa * 2**bits) + 1, exponent - bits)  # the next number above, for the ends are open
    return torch.ops.aten.hardtanh_backward(value, z, -beyond, beyond)


@dataclass(frozen=True)
class Estimator:
    """An estimator of sign; subclass it for one of your own.

    ``sharpness`` is the number that schedules move (``o`` of ReSTE, ``t`` of EDE); layers keep it in a buffer and give
    it to :meth:`value` and :meth:`slope`, which see real floating tensors of float32 or wider.
    """

    name: ClassVar[str] = ""
    parameter: ClassVar[str | None] = None  # the field that is the sharpness; None where nothing can be moved

    @property
    def sharpness(self) -> float:
        """The sharpness to begin with; 1 where there is none to move."""
        return float(getattr(self, self.parameter)) if self.parameter else 1.0

    def check(self, sharpness: float) -> None:
        """Raise ValueError for a sharpness out of range."""

    def value(self, z: Float[Tensor, "*shape"], sharpness: Sharpness) -> Float[Tensor, "*shape"]:
        """The function f that stands for sign."""
        raise NotImplementedError

    def slope(self, z: Float[Tensor, "*shape"], sharpness: Sharpness) -> Float[Tensor, "*shape"]:
        """What the gradient is multiplied by: f′, truncated where the estimator says so."""
        raise NotImplementedError


@dataclass(frozen=True)
class ReSTE(Estimator):
    """f(z) = sign(z) |z|^(1/o), with the slope cut to 0 beyond ``clip`` and to the secant within ``knee`` of zero.

    Parameters
    ----------
    o : sharpness, ≥ 1; 1 is the identity, ∞ sign. A schedule usually moves it from 1 to 3
    clip : no gradient where |z| > clip (t in the paper)
    knee : where |z| ≤ knee (m in the paper) the slope is the secant's, knee^(1/o − 1), and not infinite

    Raises
    ------
    ValueError
        For o < 1, clip ≤ 0, knee ≤ 0 or knee > clip.

    Source: arXiv 2308.06689, section 4; truncations and defaults as in the experiments there.
    """

    o: float = 3.0
    clip: float = 1.5
    knee: float = 0.1
    name: ClassVar[str] = "reste"
    parameter: ClassVar[str | None] = "o"

    def __post_init__(self) -> None:
        self.check(self.o)
        if not self.clip > 0:
            raise ValueError(f"clip: got {self.clip}; use a positive number, 1.5 as in the paper")
        if not 0 < self.knee <= self.clip:
            raise ValueError(f"knee: got {self.knee}; use a positive number up to clip={self.clip}, 0.1 in the paper")

    def check(self, sharpness: float) -> None:
        """o ≥ 1."""
        if not 1 <= sharpness < math.inf:
            raise ValueError(f"o: got {sharpness}; use a finite number ≥ 1: 1 is the straight-through estimator")

    def value(self, z: Tensor, sharpness: Sharpness) -> Tensor:
        """sign(z) |z|^(1/o), without truncation."""
        return z.sign() * z.abs().pow(1 / sharpness)

    def slope(self, z: Tensor, sharpness: Sharpness) -> Tensor:
        """(1/o) |z|^(1/o − 1) between knee and clip."""
        # never of zero or infinity, which would make 0 · ∞; by logarithms: pow takes eight times as long on a CPU
        power = z.abs().clamp(self.knee, self.clip).log_().mul_(1 / sharpness - 1).exp_()
        return _within(torch.lerp(_within(power, z, self.knee), power, 1 / sharpness), z, self.clip)


@dataclass(frozen=True)
class STE(Estimator):
    """The straight-through estimator: the identity between −clip and clip.

    Source: Bengio, Léonard, Courville, arXiv 1308.3432; with the cut at 1 of Hubara et al., NeurIPS 2016.
    """

    clip: float = 1.0
    name: ClassVar[str] = "ste"

    def __post_init__(self) -> None:
        if not self.clip > 0:
            raise ValueError(f"clip: got {self.clip}; use a positive number, usually 1")

    def value(self, z: Tensor, sharpness: Sharpness) -> Tensor:
        """z, held at ±clip beyond."""
        return z.clamp(-self.clip, self.clip)

    def slope(self, z: Tensor, sharpness: Sharpness) -> Tensor:
        """1 up to clip, 0 beyond."""
        return _within(torch.ones_like(z), z, self.clip)


@dataclass(frozen=True)
class ApproxSign(Estimator):
    """Bi-Real Net's piecewise quadratic: slope max(0, 2 − 2|z|).

    Source: Liu et al., "Bi-Real Net", ECCV 2018.
    """

    name: ClassVar[str] = "approx_sign"

    def value(self, z: Tensor, sharpness: Sharpness) -> Tensor:
        """2z − z|z| within 1, sign beyond."""
        held = z.clamp(-1, 1)
        return 2 * held - held * held.abs()

    def slope(self, z: Tensor, sharpness: Sharpness) -> Tensor:
        """2 − 2|z|, not below 0."""
        return (2 - 2 * z.abs()).clamp(min=0)


@dataclass(frozen=True)
class SignSwish(Estimator):
    """BNN+'s SignSwish with steepness ``beta``.

    Source: Darabi et al., "BNN+", arXiv 1812.11800.
    """

    beta: float = 5.0
    name: ClassVar[str] = "sign_swish"
    parameter: ClassVar[str | None] = "beta"

    def __post_init__(self) -> None:
        self.check(self.beta)

    def check(self, sharpness: float) -> None:
        """beta > 0."""
        if not 0 < sharpness < math.inf:
            raise ValueError(f"beta: got {sharpness}; use a positive number, 5 as in BNN+")

    def value(self, z: Tensor, sharpness: Sharpness) -> Tensor:
        """2σ(βz)(1 + βz(1 − σ(βz))) − 1."""
        x = sharpness * z
        s = x.sigmoid()
        return 2 * s * (1 + x * (1 - s)) - 1

    def slope(self, z: Tensor, sharpness: Sharpness) -> Tensor:
        """β(2 − βz tanh(βz/2)) / (1 + cosh βz)."""
        x = sharpness * z
        # 1/(1 + cosh x) = 2σ(x)σ(−x) · … written so that it goes to 0 and not to ∞/∞ for large x
        return 2 * sharpness * x.sigmoid() * (-x).sigmoid() * (2 - x * (x / 2).tanh())


@dataclass(frozen=True)
class EDE(Estimator):
    """IR-Net's error decay estimator k·tanh(tz), k = max(1/t, 1).

    Source: Qin et al., "Forward and Backward Information Retention for Accurate Binary Neural Networks", CVPR 2020.
    """

    t: float = 1.0
    name: ClassVar[str] = "ede"
    parameter: ClassVar[str | None] = "t"

    def __post_init__(self) -> None:
        self.check(self.t)

    def check(self, sharpness: float) -> None:
        """t > 0."""
        if not 0 < sharpness < math.inf:
            raise ValueError(f"t: got {sharpness}; use a positive number, 0.1 to 10 over a training")

    def _height(self, sharpness: Sharpness) -> Sharpness:
        return (1 / sharpness).clamp(min=1) if isinstance(sharpness, Tensor) else max(1 / sharpness, 1.0)

    def value(self, z: Tensor, sharpness: Sharpness) -> Tensor:
        """k tanh(tz)."""
        return self._height(sharpness) * (sharpness * z).tanh()

    def slope(self, z: Tensor, sharpness: Sharpness) -> Tensor:
        """k t (1 − tanh² tz)."""
        return self._height(sharpness) * sharpness * (1 - (sharpness * z).tanh().square())


ESTIMATORS: dict[str, type[Estimator]] = {kind.name: kind for kind in (ReSTE, STE, ApproxSign, SignSwish, EDE)}


def estimator_of(estimator: str | Estimator, **parameters: float) -> Estimator:
    """The estimator of a name with its parameters, or the one given.

    Raises
    ------
    ValueError
        For an unknown name, or parameters that this estimator has not (or that come with an instance).
    """
    if isinstance(estimator, Estimator):
        if parameters:
            raise ValueError(f"{', '.join(parameters)}: estimator is an instance already; set it there")
        return estimator
    kind = ESTIMATORS.get(estimator)
    if kind is None:
        raise ValueError(f"estimator: got {estimator!r}; use one of {', '.join(ESTIMATORS)}, or an Estimator")
    unknown = set(parameters) - set(kind.__dataclass_fields__)
    if unknown:
        takes = ", ".join(kind.__dataclass_fields__) or "none"
        raise ValueError(
            f"{', '.join(sorted(unknown))}: estimator {estimator!r} has no such parameter; it takes {takes}"
        )
    return kind(**parameters)
