"""What finite steps do that the gradient flow does not: flows that follow them, the direction that raises the loss, how
smooth a model they leave.
"""

from surefoot.analysis.drift.flows import alpha_pf, flow_field, integrate_flow, principal_flow, quadratic_flow
from surefoot.analysis.drift.smoothness import geometric_complexity
from surefoot.analysis.drift.stability import StabilityCoefficients, stability_coefficients

__all__ = [
    "StabilityCoefficients",
    "alpha_pf",
    "flow_field",
    "geometric_complexity",
    "integrate_flow",
    "principal_flow",
    "quadratic_flow",
    "stability_coefficients",
]
