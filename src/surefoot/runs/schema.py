"""The shapes that every room shares: what a row of the record is, and what a finding is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

SCHEMA = 1
"""Version of the record and of ``diagnosis.json``; raised when an older reader would misread a newer file."""

Severity = Literal["info", "warning", "critical"]
Verdict = Literal["healthy", "warning", "failing"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
OWN_WEIGHT = 0.99
"""A term of a loss whose weight is below has one of its own: 1, as far as it can be read from a graph in float32."""


@dataclass(frozen=True)
class Family:
    """One kind of row: its name and, in order, the (signal, where) pair of each float32 value in the row.

    ``where`` is a module path (``"blocks.0.fc1"``), an optimiser's name, a loss function's name, or ``""`` for the
    whole run. A family whose modules change during a run is written again under the same name with new columns.
    """

    name: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Evidence:
    """One measured number that speaks for a finding, and the threshold it crossed."""

    signal: str
    where: str
    step: int
    value: float
    threshold: float
    source: str  # why this threshold: a theorem, a paper, or the run's own history


@dataclass(frozen=True)
class Remedy:
    """One cure: ``how`` is code over ``model``, ``optimizer``, ``loss_fn``, headed by the line where it goes
    (``# after: model|optimizer|loss`` or ``# replace: <statement>``); ``apply`` is a ``surefoot run --apply`` id."""

    name: str
    why: str
    how: str
    apply: str | None = None


@dataclass(frozen=True)
class Finding:
    """What is wrong, where, since when and why.

    ``first_step`` is when it began, ``detected_step`` when it first reached warning (infos: when first emitted),
    ``last_step`` the last step at which it still held. ``because_of`` names the finding this one follows from.
    """

    id: str
    severity: Severity
    rank: int
    first_step: int
    detected_step: int
    last_step: int
    where: tuple[str, ...]
    cause: str
    because_of: str | None
    evidence: tuple[Evidence, ...]
    remedies: tuple[Remedy, ...]
    confidence: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As a dictionary for ``diagnosis.json``: non-finite numbers become ``"nan"``, ``"inf"``, ``"-inf"``."""
        return json_safe(asdict(self))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        evidence = tuple(
            Evidence(**{**e, "value": float(e["value"]), "threshold": float(e["threshold"])}) for e in data["evidence"]
        )
        remedies = tuple(Remedy(**r) for r in data["remedies"])
        return cls(**{**data, "where": tuple(data["where"]), "evidence": evidence, "remedies": remedies})


def verdict(findings: tuple[Finding, ...] | list[Finding]) -> Verdict:
    """``failing`` with any critical finding, ``warning`` with any warning, else ``healthy``."""
    severities = {f.severity for f in findings}
    return "failing" if "critical" in severities else "warning" if "warning" in severities else "healthy"


def json_safe(value: Any) -> Any:
    """The same structure with tuples as lists and non-finite floats as strings, so that strict JSON can hold it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, Mapping):
        return {str(k): json_safe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(v) for v in value]
    return value
