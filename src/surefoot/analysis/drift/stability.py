"""Which direction makes the loss rise at this learning rate: stability coefficients of the sharpest eigenvectors.

Rosca, Wu, Qin, Dherin, arXiv 2302.01952. Along the principal flow dE/dt = Σ α(hλ)(g·u)². A direction drives the loss up
iff its λ exceeds 2/h and the gradient has mass on it: both are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Complex, Float
from torch import nn

from surefoot.analysis.drift.flows import alpha_pf
from surefoot.autodiff import HessianOperator, extreme_eigenpairs
from surefoot.autodiff.loss_operator import Data
from surefoot.autodiff.parameters import LossFunction
from surefoot.plots import figure

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class StabilityCoefficients:
    """The k sharpest directions at a learning rate.

    Attributes
    ----------
    eigenvalues, alpha, projections : λ, α(hλ) and g·u of each
    coefficients : α(hλ)(g·u)²; a positive real part raises the loss
    unstable : hλ > 2 and some of the gradient there
    change : predicted dE/dt along the flow, over these directions and the rest taken at α = −1
    rest : share of the squared gradient outside these directions
    """

    eigenvalues: Float[np.ndarray, " k"]
    alpha: Complex[np.ndarray, " k"]
    projections: Float[np.ndarray, " k"]
    coefficients: Complex[np.ndarray, " k"]
    unstable: Bool[np.ndarray, " k"]
    change: float
    rest: float
    lr: float

    def plot(self) -> go.Figure:
        """Each direction's part of dE/dt over hλ."""
        traces = [
            {
                "type": "bar",
                "x": (self.lr * self.eigenvalues).tolist(),
                "y": self.coefficients.real.tolist(),
                "width": 0.03 * max(1.0, float(self.lr * self.eigenvalues.max())),
            }
        ]
        return figure(traces, title="Which direction raises the loss", x="hλ (2: edge of stability)", y="part of dE/dt")


def stability_coefficients(
    model: nn.Module, loss_fn: LossFunction, data: Data, lr: float, k: int = 10, *, seed: int = 0, **options: Any
) -> StabilityCoefficients:
    """The stability coefficients of the k sharpest directions of the loss over ``data``.

    Parameters
    ----------
    model, loss_fn, data, options : see :class:`surefoot.autodiff.HessianOperator`
    lr : h, of plain gradient descent
    k : directions
    seed : of Lanczos's start

    Raises
    ------
    ValueError
        For a rate that is not positive.
    """
    if not lr > 0:
        raise ValueError(f"lr: got {lr}; must be positive")
    operator = HessianOperator(model, loss_fn, data, **options)
    found = extreme_eigenpairs(operator, min(k, operator.size), "LA", seed=seed)
    gradient = operator.gradient()
    values = found.values.double().cpu().numpy()
    along = (found.vectors @ gradient).double().cpu().numpy()
    alpha = np.array([alpha_pf(lr * float(value)) for value in values])
    coefficients = alpha * along**2
    total = float(gradient.double().square().sum())
    rest = max(0.0, total - float((along**2).sum()))
    noise = 1e-12 * total
    return StabilityCoefficients(
        eigenvalues=values,
        alpha=alpha,
        projections=along,
        coefficients=coefficients,
        unstable=(lr * values > 2) & (along**2 > noise),
        change=float(coefficients.real.sum()) - rest,
        rest=rest / total if total else 0.0,
        lr=lr,
    )
