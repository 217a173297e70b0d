"""The remedies that ``--apply`` knows, their settings, and how they are read. The standard library serves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any


@dataclass(frozen=True)
class Key:
    """One setting of a remedy.

    Attributes
    ----------
    name : as it is written
    default : what holds where it is not given
    meaning : a few words
    read : from text to value; raises ValueError where the text is none
    wants : what ``read`` takes, in words
    """

    name: str
    default: Any
    meaning: str
    read: Callable[[str], Any]
    wants: str


@dataclass(frozen=True)
class Entry:
    """One remedy: what it does in a few words, when to use it, its settings, and the class that does it."""

    id: str
    what: str
    when: str
    home: str  # module of this room : class
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True)
class Choice:
    """A remedy that was asked for, with all its settings."""

    id: str
    settings: tuple[tuple[str, Any], ...] = field(default=())

    def __str__(self) -> str:
        told = ",".join(f"{name}={_text(value)}" for name, value in self.settings)
        return f"{self.id}:{told}" if told else self.id


def _text(value: Any) -> str:
    if value is None:
        return "auto"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(low: float, high: float = math.inf, closed: bool = False) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        inside = low <= value <= high if closed else low < value <= high
        if not (inside and math.isfinite(value)):
            raise ValueError(text)
        return value

    return read


def _count(low: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text)
        if value < low:
            raise ValueError(text)
        return value

    return read


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return read


def _yes_or_no(text: str) -> bool:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]


def _size(text: str) -> float | None:
    return None if text == "auto" else _number(0.0)(text)


_SCOPE = _one_of("tensor", "global")
_POSITIVE = "a positive number"
ACTIVATIONS = (
    "auto", "relu", "leaky_relu", "tanh", "gelu", "silu", "elu", "selu", "sin", "erf", "linear"
)  # fmt: skip

ENTRIES = (
    Entry(
        "lr-scale",
        "multiplies the learning rate",
        "the rate is too high or too low; a scheduler goes on writing its own",
        "lr_scale:LearningRateScale",
        (Key("factor", 0.1, "times the script's own rate", _number(0.0), _POSITIVE),),
    ),
    Entry(
        "safe-step",
        "shortens each step to the radius of convergence of the cross-entropy",
        "spikes and divergence of a classifier or language model",
        "safe_step:SafeSteps",
        (Key("r_max", 1.0, "longest step in radii; 1 is the bound", _number(0.0), _POSITIVE),),
    ),
    Entry(
        "warmup",
        "lets the learning rate grow from near zero over the first steps",
        "training is lost within the first steps, mostly with Adam",
        "warmup:WarmUp",
        (Key("steps", 100, "steps until the script's own rate", _count(1), "a number of steps, 1 or more"),),
    ),
    Entry(
        "adam-eps",
        "sets epsilon of Adam-like optimisers",
        "epsilon outweighs the gradients' own size, so that updates vanish",
        "adam_eps:AdamEpsilon",
        (Key("eps", 1e-15, "the new epsilon", _number(0.0), _POSITIVE),),
    ),
    Entry(
        "skip-bad-batch",
        "leaves out the step of a batch whose loss or gradient is far outside the run's past",
        "single corrupt or mislabelled batches, NaN in the data",
        "skip_bad_batch:SkipBadBatch",
        (
            Key("factor", 3.0, "times the past's own range above its median", _number(1.0), "a number above 1"),
            Key("window", 128, "steps that make the past", _count(8), "a number of steps, 8 or more"),
        ),
    ),
    Entry(
        "agc",
        "clips the gradient of each unit to a share of its weights' norm",
        "exploding gradients, large batches, networks without normalisation",
        "agc:AdaptiveGradientClipping",
        (
            Key("clip", 0.01, "largest gradient norm, as a share of the weights'", _number(0.0), _POSITIVE),
            Key("eps", 1e-3, "least norm that weights count with", _number(0.0), _POSITIVE),
        ),
    ),
    Entry(
        "z-loss",
        "adds coef · (log Z)² to cross_entropy, Z the sum of the exponentials of the logits",
        "output logits that drift or diverge",
        "z_loss:ZLoss",
        (Key("coef", 1e-4, "weight of the term", _number(0.0, closed=True), "a number, 0 or more"),),
    ),
    Entry(
        "stablemax",
        "puts StableMax in the place of softmax in cross_entropy",
        "softmax collapse: gradients of a fitted classifier round to zero",
        "stablemax:StableMax",
    ),
    Entry(
        "orthogonal-grad",
        "takes out of each gradient its part along the weights",
        "naive loss minimisation: the loss falls only because logits grow",
        "orthogonal_grad:OrthogonalGradients",
        (
            Key("restore_norm", False, "scale what is left to the norm before", _yes_or_no, "true or false"),
            Key("scope", "tensor", "project each tensor, or all as one", _SCOPE, "tensor or global"),
        ),
    ),
    Entry(
        "critical-init",
        "draws the weights anew, at the critical point of the activation",
        "signal or gradient vanishes or explodes over depth from the first step",
        "critical_init:CriticalInit",
        (
            Key("activation", "auto", "of the network", _one_of(*ACTIVATIONS), f"one of {', '.join(ACTIVATIONS)}"),
            Key("gamma", 0.0, "factor of the skip connection", _number(0.0, 0.999, closed=True), "a number in [0, 1)"),
            Key("input_rms", None, "size of the inputs' entries", _size, "auto or a positive number"),
        ),
    ),
)  # fmt: skip
KNOWN = {entry.id: entry for entry in ENTRIES}


def parse(text: str) -> Choice:
    """Read ``ID[:key=value,…]``.

    Raises
    ------
    ValueError
        For an unknown id or key, or a value out of range; the message lists what would do, in one line.
    """
    id, colon, rest = text.strip().partition(":")
    entry = KNOWN.get(id)
    if entry is None:
        close = get_close_matches(id.lower().replace("_", "-"), list(KNOWN), n=1, cutoff=0.6)
        hint = f"did you mean {close[0]!r}? there are" if close else "there are"
        raise ValueError(f"there is no remedy {id!r}; {hint} {', '.join(KNOWN)}")
    keys = {key.name: key for key in entry.keys}
    settings = {key.name: key.default for key in entry.keys}
    given: set[str] = set()
    for part in rest.split(",") if colon else ():
        name, equals, value = (word.strip() for word in part.partition("="))
        name = name.replace("-", "_")
        key = keys.get(name)
        if key is None:
            raise ValueError(f"{id} has no setting {name!r}; {_settings_of(entry)}")
        if name in given:
            raise ValueError(f"{id}: {name} is given twice")
        given.add(name)
        try:
            settings[name] = key.read(value)
        except (ValueError, KeyError, OverflowError):
            got = value if equals else part.strip()
            raise ValueError(f"{id}: {name} ({key.meaning}) wants {key.wants}, not {got!r}") from None
    return Choice(id, tuple(settings.items()))


def _settings_of(entry: Entry) -> str:
    if not entry.keys:
        return "it has none"
    return "it has " + "; ".join(f"{key.name}={_text(key.default)} ({key.meaning})" for key in entry.keys)


def chosen(texts: Sequence[str]) -> tuple[Choice, ...]:
    """Read several; each remedy at most once, for two of a kind would act on each other.

    Raises
    ------
    ValueError
        As :func:`parse`, and for a remedy that is given twice.
    """
    choices = tuple(map(parse, texts))
    for choice in choices:
        if sum(other.id == choice.id for other in choices) > 1:
            raise ValueError(f"{choice.id} is given twice; once with all its settings will do")
    if {"z-loss", "stablemax"} <= {choice.id for choice in choices}:
        raise ValueError("z-loss and stablemax exclude each other: StableMax has no log Z; leave one away")
    return choices
