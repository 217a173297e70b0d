"""The rows being filled: which signals a run has, where each value goes, and when a step is complete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from surefoot.runs.schema import Family

# Signals of each family, in the order of their columns: those that have a value a layer, an optimiser, a run, or a
# place that is met as the run goes on (a loss function, an attention, an input, …).
PER_LAYER = {
    "activations": ("activation_mean", "activation_rms", "dead_share", "saturated_share", "called"),
    "gradients": ("gradient_rms", "gradient_share", "gradient_nonfinite"),
    "weights": ("weight_rms", "update_rms"),
}
PER_OPTIMIZER = {
    "gradients": ("gradient_norm",),
    "step": ("loss", "learning_rate", "constant_loss"),
    "weights": ("weight_norm", "update_norm", "predicted_decrease"),
    "wiring": ("stale_gradient_share",),
}
PER_RUN = {"step": ("step_time",), "wiring": ("missed_parameters",)}
PER_PLACE: dict[str, tuple[str, ...]] = {
    "logits": (
        "softmax_collapse_share",
        "logit_max",
        "logit_rms",
        "row_sum_error",
        "nonnegative_share",
        "num_classes",
        "activation_before",
    )
}


@runtime_checkable
class Sink(Protocol):
    """Where rows and events go."""

    def row(self, step: int, family: Family, values: np.ndarray) -> None:
        """Take one finished row."""

    def event(self, step: int, kind: str, /, **data: Any) -> None:
        """Take one event."""

    def flush(self) -> None:
        """A good moment to commit and to judge."""


class Rows:
    """Collects values of the newest steps and hands each step to the sink, oldest first, once it is complete."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._layers: tuple[str, ...] = ()
        self._optimizers: list[str] = []
        self._places_met: dict[str, list[str]] = {family: [] for family in PER_PLACE}
        self._families: dict[str, Family] = {}
        self._place: dict[str, dict[tuple[str, str], int]] = {}
        # a row keeps the family that it was begun with, also if layers or optimisers turn up meanwhile
        self._open: dict[int, dict[Family, np.ndarray]] = {}
        self._noted: list[tuple[int, str, str, dict[str, float]]] = []
        self._held: Counter[int] = Counter()

    def set_layers(self, names: Sequence[str]) -> None:
        """The layers in order of depth."""
        if tuple(names) != self._layers:
            self._place_noted()
            self._layers = tuple(names)
            self._families.clear()

    def optimizer(self, name: str) -> None:
        """Make room for an optimiser."""
        self._meet(self._optimizers, name)

    def _meet(self, known: list[str], name: str) -> None:
        if name not in known:
            known.append(name)
            self._families.clear()

    def _family(self, name: str) -> Family:
        family = self._families.get(name)
        if family is None:
            columns = [
                (signal, where)
                for signals, wheres in (
                    (PER_LAYER, self._layers),
                    (PER_OPTIMIZER, self._optimizers),
                    (PER_PLACE, self._places_met.get(name, ())),
                    (PER_RUN, ("",)),
                )
                for signal in signals.get(name, ())
                for where in wheres
            ]
            family = self._families[name] = Family(name, tuple(columns))
            self._place[name] = {column: place for place, column in enumerate(columns)}
        return family

    def _values(self, step: int, name: str) -> np.ndarray:
        families = self._open.setdefault(step, {})
        family = self._family(name)
        values = families.get(family)
        if values is None:
            values = families[family] = np.full(len(family.columns), np.nan, dtype=np.float32)
        return values

    def put(self, step: int, family: str, where: str, **signals: float) -> None:
        """Values of one optimiser, run or place (``where`` = its name).

        They are only noted: rows are made of them all at once when steps are completed, a third of the cost.
        """
        self._noted.append((step, family, where, signals))

    def _place_noted(self) -> None:
        noted, self._noted = self._noted, []
        for step, family, where, signals in noted:
            if family in PER_PLACE:
                self._meet(self._places_met[family], where)
            values = self._values(step, family)
            place = self._place[family]
            for signal, value in signals.items():
                values[place[signal, where]] = value

    def put_layers(self, step: int, family: str, **signals: np.ndarray) -> None:
        """Values of all layers, in their order; NaN leaves what is there."""
        if not self._layers or any(len(new) != len(self._layers) for new in signals.values()):
            return  # read before layers turned up, known after
        values = self._values(step, family)
        place = self._place[family]
        for signal, new in signals.items():
            start = place[signal, self._layers[0]]
            part = values[start : start + len(self._layers)]
            np.copyto(part, new, where=~np.isnan(new), casting="same_kind")

    def hold(self, step: int) -> None:
        """Numbers of ``step`` are still to come from a device: it and what follows it is not complete."""
        self._held[step] += 1

    def release(self, step: int) -> None:
        """One of them has come."""
        self._held[step] -= 1
        if not self._held[step]:
            del self._held[step]

    def complete(self, before: int | None) -> None:
        """Hand over the steps before ``before``, as far as nothing is still to come for them (all if None)."""
        if before is not None and self._held:
            before = min(before, *self._held)
        if self._noted:
            self._place_noted()
        for step in sorted(self._open):
            if before is not None and step >= before:
                break
            for family, values in sorted(self._open.pop(step).items(), key=lambda item: item[0].name):
                self._sink.row(step, family, values)
