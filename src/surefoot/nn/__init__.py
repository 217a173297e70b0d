"""Layers that cure or prevent trouble, named and shaped like their torch neighbours; a family is a sub-package."""

from surefoot.nn.fences import Fences as Fences
from surefoot.nn.qk_norm import QKNorm as QKNorm
from surefoot.nn.safe_softmax import safe_softmax as safe_softmax
from surefoot.nn.same_unit import SameUnit as SameUnit
from surefoot.nn.standardize import RunningStandardize as RunningStandardize
