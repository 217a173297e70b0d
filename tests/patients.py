"""Runs of the clinic as they could have come out: what was found, and curves in closed form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from cases import Case, Kind
from harm import Curve
from metric import Printed
from runs import Outcome

STEPS = np.arange(1, 301)


def falling(rate: float = 0.01, start: float = 2.0) -> np.ndarray:
    return start * np.exp(-rate * STEPS)


def finding(id: str, rank: int, step: int, severity: str = "warning", **rest: object) -> dict:
    return {
        "id": id,
        "rank": rank,
        "detected_step": step,
        "severity": severity,
        "cause": "because",
        "remedies": [],
        **rest,
    }


def outcome(*findings: dict, loss: np.ndarray | None = None, values: tuple[float, ...] = (), **rest: object) -> Outcome:
    cost = {"steady": 0.01, "startup_s": 0.2, "credit_s": 0.3, "closing_s": 0.1}
    made = Outcome(
        findings=findings,
        steps=300,
        code=0,
        exception=None,
        seconds=1.0,
        overhead=cost,
        losses={"": Curve(STEPS, falling() if loss is None else loss)},
        printed=Printed(values or tuple(falling()[::20]), None),
        better="min",
    )
    return replace(made, **rest)


def case(kind: Kind, name: str, condition: str = "healthy", **rest: object) -> Case:
    accepts = () if condition == "healthy" else (condition,)
    made = Case(kind, name, Path(f"{kind}/{name}.py"), "It learns.", condition, "loss", "min", accepts)
    return replace(made, **rest)
