"""The Poincaré ball and networks on it, in forms that neither shrink to the origin nor break at the rim."""

from surefoot.nn.hyperbolic.ball import PoincareBall
from surefoot.nn.hyperbolic.layers import PoincareConv2d, PoincareLinear
from surefoot.nn.hyperbolic.means import frechet_mean, midpoint
from surefoot.nn.hyperbolic.norm import PoincareBatchNorm, PoincareBatchNorm2d
from surefoot.nn.hyperbolic.operations import (
    conformal_factor,
    dist,
    expmap,
    expmap0,
    gyration,
    logmap,
    logmap0,
    mobius_add,
    project,
    transport,
)
from surefoot.nn.hyperbolic.resnet import PoincareResidual, PoincareResNet
from surefoot.nn.hyperbolic.tangent import hyperplane_linear, tangent_add, tangent_linear, tangent_midpoint

__all__ = [
    "PoincareBall",
    "PoincareBatchNorm",
    "PoincareBatchNorm2d",
    "PoincareConv2d",
    "PoincareLinear",
    "PoincareResNet",
    "PoincareResidual",
    "conformal_factor",
    "dist",
    "expmap",
    "expmap0",
    "frechet_mean",
    "gyration",
    "hyperplane_linear",
    "logmap",
    "logmap0",
    "midpoint",
    "mobius_add",
    "project",
    "tangent_add",
    "tangent_linear",
    "tangent_midpoint",
    "transport",
]
