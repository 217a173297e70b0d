"""Initialisations that let deep networks pass on signal and gradient, and the theory that finds them."""

from surefoot.init.critical import InitPlan as InitPlan
from surefoot.init.critical import critical_ as critical_
from surefoot.init.critical import critical_lr_groups as critical_lr_groups
from surefoot.init.criticality import CriticalPoint as CriticalPoint
from surefoot.init.criticality import critical_point as critical_point
from surefoot.init.finite_width import AspectReport as AspectReport
from surefoot.init.finite_width import MeasuredFlow as MeasuredFlow
from surefoot.init.finite_width import aspect_report as aspect_report
from surefoot.init.finite_width import exact_variance as exact_variance
from surefoot.init.finite_width import measure_flow as measure_flow
from surefoot.init.finite_width import optimal_aspect_ratio as optimal_aspect_ratio
from surefoot.init.finite_width import variance_chain as variance_chain
from surefoot.init.flow import KernelFlow as KernelFlow
from surefoot.init.flow import kernel_flow as kernel_flow
from surefoot.init.flow import pair_kernel as pair_kernel
from surefoot.init.moments import GaussianMoments as GaussianMoments
from surefoot.init.moments import gaussian_moments as gaussian_moments
from surefoot.init.starts import off_zero_ as off_zero_
from surefoot.init.starts import open_forget_gates_ as open_forget_gates_
from surefoot.init.starts import orthogonal_recurrent_ as orthogonal_recurrent_
from surefoot.init.starts import zero_bias_ as zero_bias_
