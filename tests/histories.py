"""Streams of rows as a recorder would give them, written down in closed form, for the tests of the rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from surefoot.findings import Engine
from surefoot.runs import Event, Family, Finding

LAYERS = tuple(f"layers.{i}" for i in range(8))
LOOKS = [1, 2, 4, 8, 16, *range(20, 2000, 10)]


@dataclass
class Stream:
    """Rows and events in the order of a record; values given for one step and family at several places are one row."""

    values: dict[tuple[int, str], dict[tuple[str, str], float]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def row(self, step: int, family: str, values: dict[tuple[str, str], float]) -> None:
        self.values.setdefault((step, family), {}).update(values)

    def event(self, step: int, kind: str, /, **data: Any) -> None:
        self.events.append(Event(step, kind, data))

    def rows(self) -> list[tuple[int, Family, np.ndarray]]:
        """By step, then by family."""
        families: dict[tuple, Family] = {}
        out = []
        for (step, name), values in sorted(self.values.items(), key=lambda item: item[0]):
            family = families.setdefault((name, *values), Family(name, tuple(values)))
            with np.errstate(over="ignore"):
                out.append((step, family, np.array(list(values.values()), dtype=np.float32)))
        return out

    def engine(self, until: int = 10**9) -> Engine:
        """An engine that has seen the steps up to ``until``."""
        engine = Engine()
        engine.feed_all([r for r in self.rows() if r[0] <= until], [e for e in self.events if e.step <= until])
        assert not engine.notes
        return engine

    def findings(self, until: int = 10**9) -> dict[str, Finding]:
        return {f.id: f for f in self.engine(until).findings}

    def loud(self) -> list[str]:
        """Ids above info, by rank."""
        return [f.id for f in self.engine().findings if f.severity != "info"]


def train(
    losses: Sequence[float],
    *,
    rate: float | Callable[[int], float] = 1e-3,
    overshoot: float | Callable[[int], float] = 1e-3,
    elasticity: float | Callable[[int], float] = 1.0,
    lr: float | Callable[[int], float] = 1e-3,
    constant: float = math.nan,
    name: str = "",
    looks: Iterable[int] = LOOKS,
    stream: Stream | None = None,
) -> Stream:
    """The scalar rows of a run: its losses, and at each look a step of the given relative length and overshoot."""
    stream = stream or Stream()
    chosen = set(looks)
    for step, loss in enumerate(losses, 1):
        look = step in chosen
        now = [_at(v, step) for v in (rate, overshoot, elasticity, lr)]
        stream.row(
            step,
            "step",
            {
                ("loss", name): loss,
                ("learning_rate", name): now[3],
                ("constant_loss", name): constant if look else math.nan,
                ("step_time", ""): 1e-3,
            },
        )
        if look and math.isfinite(loss):
            scale = max(abs(loss), constant) if constant > 0 else abs(loss)
            stream.row(step, "gradients", {("gradient_norm", name): now[2] * scale / 10.0})
            values = {("weight_norm", name): 10.0, ("update_norm", name): 10.0 * now[0]}
            stream.row(step, "weights", values | {("predicted_decrease", name): now[1] * 2 * scale})
    return stream


def _at(value: float | Callable[[int], float], step: int) -> float:
    return value(step) if callable(value) else value


def layered(
    stream: Stream,
    family: str,
    signal: str,
    profile: Callable[[int], Sequence[float]],
    steps: Iterable[int],
    names: Sequence[str] = LAYERS,
) -> Stream:
    """Rows of one signal over depth; the names of a family's other signals do not matter to a rule."""
    for step in steps:
        stream.row(step, family, {(signal, n): v for n, v in zip(names, profile(step), strict=True)})
    return stream


def falling(steps: int = 200, first: float = 2.3, last: float = 0.2, noise: float = 0.05, seed: int = 0) -> list[float]:
    """A loss that falls exponentially to a floor, with noise."""
    rng = np.random.default_rng(seed)
    at = np.arange(steps)
    return list(last + (first - last) * np.exp(-5 * at / steps) + noise * rng.normal(size=steps))


def flat(steps: int = 200, level: float = 2.3, noise: float = 0.03, seed: int = 0) -> list[float]:
    """A loss that stays where it is, with noise."""
    return list(level + noise * np.random.default_rng(seed).normal(size=steps))


FEW_RANDOM = (
    ("gradients", "gradient_rms"),
    ("gradients", "gradient_share"),
    ("gradients", "gradient_nonfinite"),
    ("weights", "weight_rms"),
    ("weights", "update_rms"),
    ("activations", "activation_rms"),
    ("activations", "dead_share"),
    ("activations", "saturated_share"),
    ("activations", "called"),
)


def first_cure(found: Finding) -> str | None:
    """What ``--apply`` does first for a finding: the remedy itself, or the first of several to choose from."""
    apply = found.remedies[0].apply
    return None if apply is None else apply.removeprefix("best-of:of=").split("/")[0]
