"""Every public signal: what it measures, in what unit, and what its ``where`` names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Signal:
    """One signal of the record.

    Attributes
    ----------
    name : its name in rows and evidence
    family : the family of rows that it is in
    where : what its ``where`` names: ``"layer"``, ``"optimizer"``, ``"loss"``, ``"run"``, …
    unit : unit, or "1" for shares and ratios
    title : its name on an axis
    about : what it is, in a sentence; whether before or after clipping where that matters
    """

    name: str
    family: str
    where: str
    unit: str
    title: str
    about: str


_ALL: tuple[Signal, ...] = ()

SIGNALS: dict[str, Signal] = {signal.name: signal for signal in _ALL}
"""All signals by name."""
