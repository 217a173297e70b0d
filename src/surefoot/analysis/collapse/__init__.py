"""Neural collapse: what the last layers collapse to, how far a net is from it, and which rare classes vanish."""

from surefoot.analysis.collapse.frames import general_orthogonal_frame, orthogonal_frame, simplex_etf
from surefoot.analysis.collapse.metrics import CollapseMetrics, CollapseState, collapse_state, compute, update
from surefoot.analysis.collapse.prediction import (
    CollapsePrediction,
    collapse_prediction,
    max_safe_decay,
    minority_threshold,
)
from surefoot.analysis.collapse.ufm import UFMSolution, UnconstrainedFeatures, solve_ufm

__all__ = [
    "CollapseMetrics",
    "CollapsePrediction",
    "CollapseState",
    "UFMSolution",
    "UnconstrainedFeatures",
    "collapse_prediction",
    "collapse_state",
    "compute",
    "general_orthogonal_frame",
    "max_safe_decay",
    "minority_threshold",
    "orthogonal_frame",
    "simplex_etf",
    "solve_ufm",
    "update",
]
