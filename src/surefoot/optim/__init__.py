"""Optimizers that keep training stable; each is, or wraps, a ``torch.optim.Optimizer``."""

from surefoot.optim.adaptive_clipping import adaptive_clip_grad_ as adaptive_clip_grad_
from surefoot.optim.bad_batches import BadBatchGate as BadBatchGate
from surefoot.optim.bad_batches import OutlierGate as OutlierGate
from surefoot.optim.dal import DAL as DAL
from surefoot.optim.dal import drift_norm as drift_norm
from surefoot.optim.grad_norm_newton import GradNormNewton as GradNormNewton
from surefoot.optim.independent_decay import independent_weight_decay as independent_weight_decay
from surefoot.optim.mu_param import MuParam as MuParam
from surefoot.optim.mu_param import mu_groups as mu_groups
from surefoot.optim.orthogonal_grad import OrthogonalGrad as OrthogonalGrad
from surefoot.optim.orthogonal_grad import orthogonalize_gradients as orthogonalize_gradients
from surefoot.optim.radius_sgd import RadiusSGD as RadiusSGD
from surefoot.optim.safe_step import SafeStep as SafeStep
from surefoot.optim.split_sgd import SplitSGD as SplitSGD
from surefoot.optim.stability import StabilityLimit as StabilityLimit
from surefoot.optim.stability import preconditioner as preconditioner
from surefoot.optim.stability import stability_limit as stability_limit
from surefoot.optim.stability import update_share as update_share
from surefoot.optim.step_report import StepReport as StepReport
from surefoot.optim.two_players import DriftCancellingGame as DriftCancellingGame
from surefoot.optim.two_players import two_player_drift as two_player_drift
from surefoot.optim.warmup import warmup_cosine as warmup_cosine
from surefoot.optim.warmup import warmup_factor as warmup_factor
