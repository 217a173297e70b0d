"""The built-in rules, one family a file; importing this package registers them all."""

from surefoot.findings.rules import (
    divergence,
    double_softmax,
    exploding,
    learning_rate,
    non_finite,
    units,
    vanishing,
    wiring,
)

__all__ = [
    "divergence",
    "double_softmax",
    "exploding",
    "learning_rate",
    "non_finite",
    "units",
    "vanishing",
    "wiring",
]
