"""A report on the Hessian of a model's loss, from products with it alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from surefoot.autodiff import (
    Eigenpairs,
    Estimate,
    HessianOperator,
    SpectralDensity,
    extreme_eigenpairs,
    frobenius_norm,
    spectral_density,
    trace,
)
from surefoot.autodiff.loss_operator import Data
from surefoot.autodiff.parameters import LossFunction

if TYPE_CHECKING:
    import plotly.graph_objects as go

FLAT = 1e-3  # of the largest eigenvalue: what counts as a flat direction


def sharpness(
    model: nn.Module, loss_fn: LossFunction, data: Data, *, tol: float = 1e-3, seed: int = 0, **options: Any
) -> float:
    """The largest eigenvalue of the Hessian of the loss over ``data``, in loss per squared parameter.

    Gradient descent with a rate above 2 over it climbs along that direction.

    Parameters
    ----------
    model, loss_fn, data, options : see :class:`surefoot.autodiff.HessianOperator`
    tol : residual relative to the largest magnitude; the eigenvalue itself is better than that
    seed : of the random start
    """
    operator = HessianOperator(model, loss_fn, data, **options)
    return float(extreme_eigenpairs(operator, 1, "LA", tol, seed=seed).values[0])


def outliers(
    values: Sequence[float] | Float[np.ndarray, " n"] | Float[Tensor, " n"], most: int | None = None
) -> tuple[int, float]:
    """How many of the largest eigenvalues stand apart: where the ratio of one to the next is greatest.

    Parameters
    ----------
    values : eigenvalues in any order; those that are not positive are left out
    most : consider gaps up to this many; by default all

    Returns
    -------
    The count, and the ratio at the gap, which says how clear it is. (0, 1.0) if fewer than two are positive.

    Source
    ------
    Sagun et al., section 3: a C-way classifier at a moderate loss has about C − 1. It is an empirical law: late in
    training a few hard samples dominate and the gap blurs.
    """
    numbers = np.sort(np.asarray(values, dtype=float).ravel())[::-1]
    numbers = numbers[numbers > 0]
    if most is not None and most < 1:
        raise ValueError(f"most: got {most}; must be at least 1")
    ratios = numbers[:-1] / numbers[1:]
    ratios = ratios[:most]
    if not len(ratios):
        return 0, 1.0
    at = int(ratios.argmax())
    return at + 1, float(ratios[at])


@dataclass(frozen=True)
class HessianReport:
    """What :func:`hessian_report` found.

    Attributes
    ----------
    largest, smallest : the ends of the spectrum, with residuals: an eigenvalue lies within it of each
    trace, norm : estimates of tr H and ‖H‖_F, with standard errors
    effective_rank : tr(H)² / ‖H‖_F²: how many directions carry the curvature
    outliers, gap : how many of the largest stand apart, and how clearly
    flat : share of directions with |λ| below a thousandth of the largest
    negative : share of directions that curve downwards by more than that
    gradient_overlap : share of the squared gradient that lies in the space of the ``k`` largest; NaN at a zero gradient
    gradient_norm : of the loss over the data
    density : the spectral density
    parameters, rows, products : P, the rows of data, and the Hessian-vector products taken
    """

    largest: Eigenpairs
    smallest: Eigenpairs
    trace: Estimate
    norm: Estimate
    effective_rank: float
    outliers: int
    gap: float
    flat: float
    negative: float
    gradient_overlap: float
    gradient_norm: float
    density: SpectralDensity
    parameters: int
    rows: int
    products: int
    seed: int

    def __str__(self) -> str:
        top, low = float(self.largest.values[0]), float(self.smallest.values[0])
        settled = "" if self.largest.converged and self.smallest.converged else "  (not converged: read residuals)"
        return "\n".join(
            [
                f"Hessian of {self.parameters:,} parameters over {self.rows:,} rows, {self.products:,} products",
                f"  largest eigenvalue     {top:.4g} ± {float(self.largest.residuals[0]):.1g}{settled}",
                f"                         gradient descent is stable below a rate of {2 / top:.3g}"
                if top > 0
                else "                         no direction curves upwards",
                f"  smallest eigenvalue    {low:.4g} ± {float(self.smallest.residuals[0]):.1g}",
                f"  trace                  {self.trace.value:.4g} ± {self.trace.stderr:.1g}",
                f"  effective rank         {self.effective_rank:.3g}",
                f"  outliers               {self.outliers}, the last {self.gap:.2g} × the next",
                f"  flat directions        {100 * self.flat:.3g} % (|λ| < {FLAT:g} of the largest)",
                f"  downward directions    {100 * self.negative:.3g} %",
                f"  gradient in the top {len(self.largest.values):<3}{100 * self.gradient_overlap:.3g} % of its square",
            ]
        )

    def plot(self) -> go.Figure:
        """The spectral density with its outliers."""
        return self.density.plot()


def hessian_report(
    model: nn.Module | Callable[[Any], Any],
    loss_fn: LossFunction,
    data: Data,
    *,
    k: int = 20,
    probes: int = 4,
    steps: int = 60,
    tol: float = 1e-3,
    seed: int = 0,
    **options: Any,
) -> HessianReport:
    """The ends of the spectrum, its outliers, trace, flat and downward shares, and where the gradient points.

    Takes about ``probes · steps`` + 20 ``k`` Hessian-vector products, each two to three gradients dear.

    Parameters
    ----------
    model, loss_fn, data, options : see :class:`surefoot.autodiff.HessianOperator`
    k : how many of the largest eigenvalues to find exactly
    probes, steps : of the spectral density
    tol : residual of the eigenpairs, relative to the largest magnitude
    seed : of all random vectors
    """
    operator = HessianOperator(model, loss_fn, data, **options)
    k = max(1, min(k, operator.size - 1))
    largest = extreme_eigenpairs(operator, k, "LA", tol, seed=seed)
    smallest = extreme_eigenpairs(operator, 1, "SA", tol, seed=seed)
    density = spectral_density(operator, probes, steps, min(k, operator.size // 2), seed=seed)
    probed = max(10, probes * 5)
    total, norm = trace(operator, n=probed, seed=seed), frobenius_norm(operator, probed, seed=seed)
    count, gap = outliers(largest.values)
    gradient = operator.gradient()
    length = float(gradient.norm())
    inside = float((largest.vectors @ gradient).square().sum()) / length**2 if length else float("nan")
    top = max(abs(float(largest.values[0])), abs(float(smallest.values[0])))
    edge = FLAT * top
    return HessianReport(
        largest=largest,
        smallest=smallest,
        trace=total,
        norm=norm,
        effective_rank=(total.value / norm.value) ** 2 if norm.value else 0.0,
        outliers=count,
        gap=gap,
        flat=density.count(-edge, edge) / operator.size,
        negative=density.cdf(float(np.nextafter(-edge, -np.inf))),
        gradient_overlap=inside,
        gradient_norm=length,
        density=density,
        parameters=operator.size,
        rows=operator.rows,
        products=largest.products + smallest.products + density.products + total.products + norm.products,
        seed=seed,
    )
