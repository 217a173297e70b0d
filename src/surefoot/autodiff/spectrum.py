"""The spectral density of a symmetric operator by stochastic Lanczos quadrature, outliers taken out first if asked.

Golub and Meurant, "Matrices, moments and quadrature"; Lin, Saad, Yang, arXiv 1308.5467; for networks Papyan, arXiv
1811.07062 and Ghorbani et al., arXiv 1901.10159.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from surefoot.autodiff.lanczos import extreme_eigenpairs, krylov, ritz
from surefoot.autodiff.operator import SymmetricOperator
from surefoot.plots import density_traces, figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

_LOG_FLOOR = 1e-5  # added to |λ| before its logarithm


@dataclass(frozen=True)
class SpectralDensity:
    """What the spectrum of an n × n matrix looks like.

    Attributes
    ----------
    nodes, weights : Ritz values and their shares, a row a probe; shares of a row sum to 1
    atoms : outliers that were found exactly; each stands for one eigenvalue
    grid, density : the smoothed density over λ, or over log₁₀(|λ| + 1e-5) if ``log``; integrates to 1
    size : n
    sigma : width of the smoothing, in the grid's unit
    """

    nodes: Float[np.ndarray, "probes steps"]
    weights: Float[np.ndarray, "probes steps"]
    atoms: Float[np.ndarray, " k"]
    grid: Float[np.ndarray, " points"]
    density: Float[np.ndarray, " points"]
    size: int
    sigma: float
    log: bool
    products: int

    def cdf(self, t: float) -> float:
        """Share of the eigenvalues that are at most t. Not smoothed: the number to quote."""
        bulk = float((self.weights * (self.nodes <= t)).sum(axis=1).mean())
        k = len(self.atoms)
        return ((self.size - k) * bulk + int((self.atoms <= t).sum())) / self.size

    def count(self, a: float, b: float) -> float:
        """How many eigenvalues lie in [a, b], by the same estimate."""
        if not a <= b:
            raise ValueError(f"a, b: got {a}, {b}; must be a ≤ b")
        return self.size * (self.cdf(b) - self.cdf(math.nextafter(a, -math.inf)))

    def moment(self, q: int) -> float:
        """(1/n) Σ λ^q. Of each probe vᵀA^q v is exact for q < 2 · steps; the average over probes is an estimate."""
        if q < 0:
            raise ValueError(f"q: got {q}; must be at least 0")
        k = len(self.atoms)
        bulk = float((self.weights * self.nodes**q).sum(axis=1).mean())
        return ((self.size - k) * bulk + float((self.atoms**q).sum())) / self.size

    def plot(self) -> go.Figure:
        """Density on a logarithmic axis, with the outliers as marks on it."""
        at = np.log10(np.abs(self.atoms) + _LOG_FLOOR) if self.log else self.atoms
        traces = density_traces(self.grid, self.density, at, f"{len(at)} outliers")
        x = f"log₁₀(|λ| + {_LOG_FLOOR:g})" if self.log else "eigenvalue λ"
        return figure(traces, title="Spectral density", x=x, y="density", log_y=True)


def spectral_density(
    operator: SymmetricOperator,
    probes: int = 4,
    steps: int = 60,
    deflate: int = 0,
    sigma: float | None = None,
    grid: int = 1024,
    log: bool = False,
    seed: int = 0,
) -> SpectralDensity:
    """The distribution of the eigenvalues, from ``probes`` × ``steps`` products.

    A probe sees an eigenvalue of multiplicity one with a weight of about 1/n, that scatters as much: quadrature finds
    where outliers are, and not how many. With ``deflate`` the outliers are found by Lanczos with residuals, taken out
    of the probes, and put back as exact atoms.

    Parameters
    ----------
    operator : the matrix
    probes : random vectors (Rademacher) to average over
    steps : products a probe
    deflate : how many eigenvalues of largest magnitude to find exactly first; costs a few more products each
    sigma : width of the Gaussians that smooth the plot, in the grid's unit; by default that of Papyan for κ = 3,
        r / ((steps − 1) √(8 ln 3)) with r the range of the Ritz values
    grid : points of the plot
    log : smooth over log₁₀(|λ| + 1e-5) instead of λ
    seed : of the probes

    Raises
    ------
    ValueError
        For no probe, steps below 2, a grid of fewer than 2 points, a negative or too large ``deflate``.
    """
    if probes < 1:
        raise ValueError(f"probes: got {probes}; must be at least 1")
    if steps < 2:
        raise ValueError(f"steps: got {steps}; must be at least 2")
    if grid < 2:
        raise ValueError(f"grid: got {grid}; must be at least 2 points")
    if not 0 <= deflate < operator.size:
        raise ValueError(f"deflate: got {deflate}; must be at least 0 and below the size {operator.size}")
    if sigma is not None and not sigma > 0:
        raise ValueError(f"sigma: got {sigma}; must be positive")
    atoms, vectors, products = np.empty(0), None, 0
    if deflate:
        found = extreme_eigenpairs(operator, deflate, "LM", tol=1e-4, seed=seed)
        atoms, vectors, products = found.values.double().cpu().numpy(), found.vectors, found.products
    generator = torch.Generator().manual_seed(seed)
    steps = min(steps, operator.size - deflate)
    nodes, weights = np.zeros((probes, steps)), np.zeros((probes, steps))
    for i in range(probes):
        signs = torch.randint(2, (operator.size,), generator=generator) * 2 - 1
        probe = _outside(signs.to(operator.device, operator.dtype), vectors)
        space = krylov(lambda v: _outside(operator(v), vectors), probe, steps)
        values, first = ritz(space.diagonal.double().cpu().numpy(), space.offdiagonal.double().cpu().numpy())
        nodes[i, : len(values)], weights[i, : len(values)] = values, first**2
    products += probes * steps
    points, density, width = _smoothed(nodes, weights, atoms, operator.size, sigma, grid, log)
    return SpectralDensity(nodes, weights, atoms, points, density, operator.size, width, log, products)


def _outside(vector: Tensor, vectors: Tensor | None) -> Tensor:
    """The part of a vector that is orthogonal to the (orthonormal) rows of ``vectors``."""
    return vector if vectors is None else vector - vectors.T @ (vectors @ vector)


def _smoothed(
    nodes: np.ndarray, weights: np.ndarray, atoms: np.ndarray, size: int, sigma: float | None, points: int, log: bool
) -> tuple[np.ndarray, np.ndarray, float]:
    share = (size - len(atoms)) / size
    centres = np.concatenate([nodes.ravel(), atoms])
    masses = np.concatenate([share * weights.ravel() / len(nodes), np.full(len(atoms), 1 / size)])
    centres, masses = centres[masses > 0], masses[masses > 0]
    if log:
        centres = np.log10(np.abs(centres) + _LOG_FLOOR)
    reach = float(np.ptp(centres)) or max(abs(float(centres[0])), 1.0)
    width = sigma if sigma is not None else reach / (max(2, nodes.shape[1]) - 1) / math.sqrt(8 * math.log(3))
    low, high = centres.min() - 0.05 * reach - 4 * width, centres.max() + 0.05 * reach + 4 * width
    grid = np.linspace(low, high, points)
    bells = np.exp(-0.5 * ((grid[:, None] - centres) / width) ** 2) / (width * math.sqrt(2 * math.pi))
    return grid, bells @ masses, width
