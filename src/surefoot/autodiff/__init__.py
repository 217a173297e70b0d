"""Derivative operators shared by all rooms, one implementation each: products with the Hessian and its relatives,
eigenpairs, spectral densities, traces, Jacobian-vector products.
"""

from surefoot.autodiff.curvature import (
    FisherOperator,
    GGNOperator,
    GradientCovarianceOperator,
    HessianOperator,
)
from surefoot.autodiff.estimates import Estimate, diagonal, frobenius_norm, trace
from surefoot.autodiff.lanczos import Eigenpairs, extreme_eigenpairs, lanczos
from surefoot.autodiff.operator import CallableOperator, PreconditionedOperator, SymmetricOperator
from surefoot.autodiff.spectrum import SpectralDensity, spectral_density

__all__ = [
    "CallableOperator",
    "Eigenpairs",
    "Estimate",
    "FisherOperator",
    "GGNOperator",
    "GradientCovarianceOperator",
    "HessianOperator",
    "PreconditionedOperator",
    "SpectralDensity",
    "SymmetricOperator",
    "diagonal",
    "extreme_eigenpairs",
    "frobenius_norm",
    "lanczos",
    "spectral_density",
    "trace",
]
