"""What a run started from, and the cure of a start that does not let signal and gradient pass."""

from __future__ import annotations

import math

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.depth import Profile
from surefoot.findings.history import History
from surefoot.runs.schema import Remedy

WITHOUT_CRITICAL_POINT = frozenset({"sigmoid", "softplus"})  # Roberts, Yaida, Hanin 2022, section 5.3
# C_W at the critical point: 1/⟨σ'²⟩ there (Roberts, Yaida, Hanin 2022, ch. 5, solved for each).
CRITICAL = {"relu": 2.0, "leaky_relu": 2.0, "tanh": 1.0, "gelu": 1.983, "silu": 1.988, "mish": 2.014,
            "hardswish": 1.972, "elu": 1.0, "": 1.0}  # fmt: skip

_OTHER_WAYS = ("skip-connection", "zero-bias")  # past the blocks; and through gates that biases hold shut


def activation_of(history: History) -> str:
    """The network's commonest activation as its first look saw it; "" where it saw none."""
    told = history.events("initialisation")
    return str(told[0].data.get("activation", "")) if told else ""


def weight_size(history: History, grown: Profile) -> float:
    """Weight variance times fan-in in the layers of a profile but the first and last, by the median; NaN if unknown."""
    told = history.events("initialisation")
    sizes = told[0].data.get("weight_variance", {}) if told else {}
    known = [float(sizes[n]) for n in grown.names[1:-1] if isinstance(sizes.get(n), int | float)]
    return float(np.median(known)) if known else float("nan")


def as_drawn(history: History) -> bool:
    """Whether at the first look most dense layers, two at least, had weights as torch draws them: uniform, with
    variance times fan-in 1/3 within four of its standard deviations. Training leaves no layer with just that."""
    told = history.events("initialisation")
    sizes = told[0].data.get("weight_variance", {}) if told else {}
    fresh = sum(drawn(history, name) for name in sizes)
    return fresh >= 2 and 2 * fresh > len(sizes)


def drawn(history: History, name: str) -> bool:
    """Whether this dense layer had, at the first look, weights as torch draws them; see :func:`as_drawn`."""
    told = history.events("initialisation")
    size = told[0].data.get("weight_variance", {}).get(name) if told else None
    many = int(history.module(name).get("parameters", 0))
    return isinstance(size, int | float) and many > 0 and abs(3 * size - 1) <= 4 * math.sqrt(0.8 / many)


def explained(slope: float, ratio: float) -> bool:
    """Whether weights of ``ratio`` times the critical variance make for half of a growth of ``slope`` bits a layer; not
    where that is unknown (NaN)."""
    if np.isnan(ratio):
        return False
    bits = float(np.log2(ratio)) if ratio > 0 else -np.inf  # of the square
    return bits * slope > 0 and abs(bits) >= abs(slope)


def cures_of_start(history: History, grown: Profile | None = None, toward_output: bool = False) -> tuple[Remedy, ...]:
    """Other weights; or another activation, or norms, where no weights would do.

    Parameters
    ----------
    history : of the run
    grown : how signal or gradient changes over depth, if that is what is wrong
    toward_output : whether ``grown`` is the signal's, which compounds toward the output
    """
    activation = activation_of(history)
    if activation in WITHOUT_CRITICAL_POINT:
        # of activations that are functions nothing can be put in the place
        replaceable = bool(history.wheres("saturated_share"))
        both = (remedies.RELU_FOR_SIGMOID, remedies.LAYER_NORM)
        return remedies.best_of(both if replaceable else both[::-1])
    weights = remedies.critical_init(activation)
    if grown is None or not history.events("initialisation"):
        return remedies.best_of((weights, remedies.LAYER_NORM), *_OTHER_WAYS)
    size = weight_size(history, grown)
    # layers of the script's own have no size that is known, and products of layers grow by more than theirs
    drawn = explained(grown.slope if toward_output else -grown.slope, size / CRITICAL.get(activation, 1.0))
    both = (weights, remedies.LAYER_NORM) if drawn else (remedies.LAYER_NORM, weights)
    return remedies.best_of(both, *_OTHER_WAYS)
