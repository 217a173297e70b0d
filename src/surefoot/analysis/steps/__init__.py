"""How long a step is against how far it may go: radii of convergence, their history in a run, what a step does to p."""

from surefoot.analysis.steps.edge import edge_scale as edge_scale
from surefoot.analysis.steps.edge import principal_flow_rate as principal_flow_rate
from surefoot.analysis.steps.history import StepHistory as StepHistory
from surefoot.analysis.steps.history import StepSummary as StepSummary
from surefoot.analysis.steps.history import compute as compute
from surefoot.analysis.steps.history import update as update
from surefoot.analysis.steps.kl import divergences as divergences
from surefoot.analysis.steps.kl import remainder_bound as remainder_bound
from surefoot.analysis.steps.kl import third_moment_bound as third_moment_bound
from surefoot.analysis.steps.radii import NetworkRadius as NetworkRadius
from surefoot.analysis.steps.radii import activation_radius as activation_radius
from surefoot.analysis.steps.radii import attention_radius as attention_radius
from surefoot.analysis.steps.radii import network_radius as network_radius
from surefoot.analysis.steps.taken import ratio_summary as ratio_summary
from surefoot.analysis.steps.taken import step_ratios as step_ratios
from surefoot.optim.exact_radius import exact_radius as exact_radius
from surefoot.optim.exact_radius import nearest_zero as nearest_zero
from surefoot.optim.exact_radius import taylor_coefficients as taylor_coefficients
from surefoot.optim.safe_radius import binary_radius as binary_radius
from surefoot.optim.safe_radius import convergence_radius as convergence_radius
from surefoot.optim.safe_radius import normalized_step as normalized_step
from surefoot.optim.safe_radius import slope_spread as slope_spread
from surefoot.optim.safe_radius import top2_radius as top2_radius
from surefoot.optim.step_report import StepReport as StepReport
from surefoot.optim.step_report import logit_jvp as logit_jvp
from surefoot.optim.step_report import step_report as step_report
