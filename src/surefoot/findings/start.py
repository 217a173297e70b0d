"""What a run started from, and the cure of a start that does not let signal and gradient pass."""

from __future__ import annotations

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.runs.schema import Remedy

WITHOUT_CRITICAL_POINT = frozenset({"sigmoid", "softplus"})  # Roberts, Yaida, Hanin 2022, section 5.3


def activation_of(history: History) -> str:
    """The network's commonest activation as its first look saw it; "" where it saw none."""
    told = history.events("initialisation")
    return str(told[0].data.get("activation", "")) if told else ""


def cures_of_start(history: History) -> tuple[Remedy, ...]:
    """Other weights; or another activation, where no weights would do."""
    activation = activation_of(history)
    if activation in WITHOUT_CRITICAL_POINT:
        return (remedies.RELU_FOR_SIGMOID,)
    return (remedies.critical_init(activation),)
