"""Solvers of smooth problems beyond first order."""

from surefoot.solvers.gradient_normalized import GNSResult, minimize, progress_condition
from surefoot.solvers.oracles import LogisticRegression, LogSumExp, PowerResidual, SoftmaxRegression
from surefoot.solvers.shifted import LowRank
from surefoot.solvers.smoothness import gamma_from_search, sampled_gamma

__all__ = [
    "GNSResult",
    "LogSumExp",
    "LogisticRegression",
    "LowRank",
    "PowerResidual",
    "SoftmaxRegression",
    "gamma_from_search",
    "minimize",
    "progress_condition",
    "sampled_gamma",
]
