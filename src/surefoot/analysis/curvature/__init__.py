"""What the loss looks like around a model: sharpness, outliers, flat and negative directions, straight paths.

Sagun, Evci, Guney, Dauphin, Bottou, "Empirical Analysis of the Hessian of Over-Parametrized Neural Networks", arXiv
1706.04454. The operators underneath are :mod:`surefoot.autodiff`.
"""

from surefoot.analysis.curvature.paths import PathResult, linear_path
from surefoot.analysis.curvature.report import HessianReport, hessian_report, outliers, sharpness

__all__ = ["HessianReport", "PathResult", "hessian_report", "linear_path", "outliers", "sharpness"]
