"""Two recorded runs side by side: what was set differently, where they part, what each has that the other has not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from surefoot.report.record import Record, Signal
from surefoot.runs.schema import json_safe
from surefoot.runs.signals import SIGNALS

# What the script computes, and no look adds to: equal in two runs of the same seeded script, whenever they were looked
# at. Some other signals remember earlier looks, and looks come when the budget allows.
OF_THE_SCRIPT = ("loss", "learning_rate", "gradient_norm", "gradient_rms", "weight_norm", "weight_rms", "update_norm")
TIMED = frozenset({"step_time"})
NEWEST = 32
_NOT_SETTINGS = ("started", "pid", "resumed", "environment", "machine", "versions", "schema", "ignore", "rules")


@dataclass(frozen=True)
class Side:
    """One signal in both runs.

    Attributes
    ----------
    name : the signal
    common : how many steps both have
    first_difference : the first of them at which they are not equal bit for bit; None where all are
    medians, finals : of A and of B, over the common steps and at the last of them; of a signal with several places
        the median over the places
    """

    name: str
    common: int
    first_difference: int | None
    medians: tuple[float, float]
    finals: tuple[float, float]

    @property
    def ratio(self) -> float:
        """Median of B over that of A."""
        a, b = self.medians
        return b / a if a else math.nan


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` finds.

    Attributes
    ----------
    a, b : the records
    settings : (name, value in A, value in B) of what was set differently, or ran on something else
    signals : the signals that both have
    only_a, only_b : the signals that one of them has
    identical : what the script computes is equal at every step that both recorded
    better : ``"a"`` or ``"b"`` by the loss at the end of the common steps; None where the difference is within its
        noise, or there is no loss to compare
    losses : the losses that ``better`` is judged by: the median over the newest common steps
    judged_at : the last common step with a loss
    """

    a: Record
    b: Record
    settings: tuple[tuple[str, str, str], ...]
    signals: tuple[Side, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    identical: bool
    better: Literal["a", "b"] | None
    losses: tuple[float, float] | None
    judged_at: int | None

    @property
    def findings(self) -> list[tuple[str, str | None, str | None]]:
        """(id, severity in A, severity in B), the gravest first; None where a run has it not."""
        a, b = ({finding.id: finding for finding in record.findings} for record in (self.a, self.b))
        ids = sorted({*a, *b}, key=lambda id: min(f[id].rank for f in (a, b) if id in f))
        return [(id, a[id].severity if id in a else None, b[id].severity if id in b else None) for id in ids]

    def first_difference(self, name: str = "loss") -> int | None:
        """The first common step at which a signal differs."""
        return next((side.first_difference for side in self.signals if side.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """As strict JSON holds it."""
        return json_safe(
            {
                "a": {"path": str(self.a.run.path), "steps": self.a.steps, "verdict": self.a.verdict},
                "b": {"path": str(self.b.run.path), "steps": self.b.steps, "verdict": self.b.verdict},
                "identical": self.identical,
                "settings": [{"name": name, "a": a, "b": b} for name, a, b in self.settings],
                "first_difference": {side.name: side.first_difference for side in self.signals},
                "signals": [
                    {
                        "name": side.name,
                        "common_steps": side.common,
                        "first_difference": side.first_difference,
                        "median": {"a": side.medians[0], "b": side.medians[1], "ratio": side.ratio},
                        "final": {"a": side.finals[0], "b": side.finals[1]},
                    }
                    for side in self.signals
                ],
                "only_a": list(self.only_a),
                "only_b": list(self.only_b),
                "findings": [{"id": id, "a": a, "b": b} for id, a, b in self.findings],
                "better": self.better,
                "loss": None if self.losses is None else {"a": self.losses[0], "b": self.losses[1]},
                "judged_at": self.judged_at,
            }
        )


def compare(a: Record, b: Record) -> Comparison:
    """Lay two records side by side."""
    names_a, names_b = a.run.signals(), b.run.signals()
    both = [name for name in names_a if name in names_b]
    order = {name: place for place, name in enumerate(SIGNALS)}
    both.sort(key=lambda name: (order.get(name, len(order)), name))
    sides = tuple(side for name in both if (side := _side(a.signal(name), b.signal(name))) is not None)
    scripts = [side for side in sides if side.name in OF_THE_SCRIPT and side.common]
    better, losses, at = _better(a.signal("loss"), b.signal("loss"))
    return Comparison(
        a,
        b,
        tuple(settings(a, b)),
        sides,
        tuple(name for name in names_a if name not in names_b),
        tuple(name for name in names_b if name not in names_a),
        bool(scripts) and all(side.first_difference is None for side in scripts),
        better,
        losses,
        at,
    )


def common(a: Signal, b: Signal) -> tuple[np.ndarray, tuple[str, ...], np.ndarray, np.ndarray]:
    """The steps and the places that both have, and the values of each there."""
    steps, at_a, at_b = np.intersect1d(a.steps, b.steps, return_indices=True)
    wheres = tuple(where for where in a.wheres if where in b.wheres)
    columns_a, columns_b = ([s.wheres.index(where) for where in wheres] for s in (a, b))
    return steps, wheres, a.values[at_a][:, columns_a], b.values[at_b][:, columns_b]


def _side(a: Signal | None, b: Signal | None) -> Side | None:
    if a is None or b is None:
        return None
    steps, wheres, in_a, in_b = common(a, b)
    # NaN is also "not measured", which a look decides: only where both were measured can they differ.
    measured = ~(np.isnan(in_a) | np.isnan(in_b))
    if not measured.any() or not wheres:
        return Side(a.name, 0, None, (math.nan, math.nan), (math.nan, math.nan))
    kept = measured.any(axis=1)
    differ = ((in_a != in_b) & measured).any(axis=1)
    first = int(steps[differ.argmax()]) if differ.any() else None
    curves = [_middle(np.where(measured, values, np.nan)[kept]) for values in (in_a, in_b)]
    medians, finals = [float(np.median(curve)) for curve in curves], [float(curve[-1]) for curve in curves]
    return Side(a.name, int(kept.sum()), first, (medians[0], medians[1]), (finals[0], finals[1]))


def _middle(values: np.ndarray) -> np.ndarray:
    """The median over places at each step."""
    return values[:, 0].astype(np.float64) if values.shape[1] == 1 else np.nanmedian(values, axis=1).astype(np.float64)


def middle(signal: Signal) -> tuple[np.ndarray, np.ndarray]:
    """Steps and median over places of a signal, where it was measured."""
    kept = ~np.isnan(signal.values).all(axis=1)
    return signal.steps[kept], _middle(signal.values[kept]) if kept.any() else np.empty(0)


def _better(
    a: Signal | None, b: Signal | None
) -> tuple[Literal["a", "b"] | None, tuple[float, float] | None, int | None]:
    if a is None or b is None:
        return None, None, None
    steps, wheres, in_a, in_b = common(a, b)
    if len(wheres) != 1 or not len(steps):
        return None, None, None  # which of several losses counts is not ours to say
    newest = max(min(NEWEST, len(steps) // 4), 1)
    medians, noises = [], []
    for values in (in_a[-newest:, 0], in_b[-newest:, 0]):
        finite = values[np.isfinite(values)].astype(np.float64)
        medians.append(float(np.median(finite)) if 2 * len(finite) > newest else math.inf)
        noises.append(float(np.subtract(*np.percentile(finite, [75, 25]))) if len(finite) else 0.0)
    losses = (medians[0], medians[1])
    # A median over n values is known to about 1.25 σ/√n (normal noise), and the quartiles are 1.35 σ apart.
    error = 1.25 / 1.35 * math.hypot(*noises) / math.sqrt(newest)
    if losses[0] == losses[1] or abs(losses[0] - losses[1]) <= 2 * error:
        return None, losses, int(steps[-1])
    return ("a" if losses[0] < losses[1] else "b"), losses, int(steps[-1])


def settings(a: Record, b: Record) -> list[tuple[str, str, str]]:
    """What was set differently, or ran on something else: (name, in A, in B)."""
    flat_a, flat_b = _flat(a), _flat(b)
    names = [name for name in dict.fromkeys([*flat_a, *flat_b]) if flat_a.get(name) != flat_b.get(name)]
    return [(name, _shown(flat_a.get(name)), _shown(flat_b.get(name))) for name in names]


def _shown(value: Any) -> str:
    return "–" if value is None else str(value)


def _flat(record: Record) -> dict[str, Any]:
    meta = record.meta
    flat: dict[str, Any] = {"script": record.script, **_arguments(meta.get("argv") or [])}
    optimizers = record.events("optimizers")
    for optimizer in optimizers[-1].data.get("optimizers", ()) if optimizers else ():
        name = f"optimizer {optimizer.get('name') or ''}".strip()
        flat[name] = optimizer.get("type")
        flat |= {f"{name}.{key}": value for key, value in (optimizer.get("defaults") or {}).items()}
    modules = [module for module in record.modules if module.get("parameters") is not None]
    if modules:
        flat["parameters"] = sum(int(module["parameters"]) for module in modules)
        flat["layers"] = len(modules)
    for key, value in meta.items():
        if key not in _NOT_SETTINGS and key not in ("script", "argv"):
            flat[key] = value
    for group in ("versions", "machine", "environment"):
        flat |= {key: value for key, value in (meta.get(group) or {}).items() if not isinstance(value, Mapping)}
    return flat


def _arguments(argv: list[Any]) -> dict[str, str]:
    """Options with their values; what stands alone by its place."""
    found: dict[str, str] = {}
    words, place = [str(word) for word in argv], 0
    while words:
        word = words.pop(0)
        if word.startswith("-") and not _number(word):
            name, equals, value = word.partition("=")
            if not equals and words and (not words[0].startswith("-") or _number(words[0])):
                value = words.pop(0)
            found[name] = value or "given"
        else:
            place += 1
            found[f"argument {place}"] = word
    return found


def _number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
