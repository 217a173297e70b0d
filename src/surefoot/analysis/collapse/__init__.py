"""Neural collapse: what the last layers collapse to, how far a net is from it, and which rare classes vanish."""

from surefoot.analysis.collapse.anchored import (
    CollapsedPair,
    FlowResult,
    anchored_minimizer,
    central_path_flow,
    central_path_loss,
    optimal_classifier,
    ufm_loss,
    ufm_minimizer,
)
from surefoot.analysis.collapse.depth import DepthProfile, LayerCollapse, depthwise_collapse
from surefoot.analysis.collapse.frames import general_orthogonal_frame, orthogonal_frame, simplex_etf
from surefoot.analysis.collapse.metrics import CollapseMetrics, CollapseState, collapse_state, compute, update
from surefoot.analysis.collapse.perturbation import (
    PerturbationOperator,
    Spread,
    decay_sensitivity,
    effective_beta,
    near_collapse_spectrum,
    predicted_spread,
    spread,
)
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
    "CollapsedPair",
    "DepthProfile",
    "FlowResult",
    "LayerCollapse",
    "PerturbationOperator",
    "Spread",
    "UFMSolution",
    "UnconstrainedFeatures",
    "anchored_minimizer",
    "central_path_flow",
    "central_path_loss",
    "collapse_prediction",
    "collapse_state",
    "compute",
    "decay_sensitivity",
    "depthwise_collapse",
    "effective_beta",
    "general_orthogonal_frame",
    "max_safe_decay",
    "minority_threshold",
    "near_collapse_spectrum",
    "optimal_classifier",
    "orthogonal_frame",
    "predicted_spread",
    "simplex_etf",
    "solve_ufm",
    "spread",
    "ufm_loss",
    "ufm_minimizer",
    "update",
]
