"""A sweep as JSON: what ``sweep.json`` holds, and what table and page are drawn from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from surefoot.analysis.scaling import lr_sensitivity
from surefoot.runs.schema import json_safe
from surefoot.sweeps.forecast import QUANTITIES, Forecast, forecasts
from surefoot.sweeps.plan import Plan
from surefoot.sweeps.read import Outcome

SCHEMA = 1


def summary(sweep: Plan, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Runs, curves and sensitivity of each size, forecasts, and how well the held-back size was foreseen.

    Losses are validation losses where every finished run has shown one, else those of training. Seeds are averaged; a
    rate at which a run diverged or failed counts as such.
    """
    validated = all(not math.isnan(o.valid_loss) for o in outcomes if o.state == "finished")
    made = forecasts(outcomes, sweep.rate)
    held = [forecast.held for forecast in made if forecast.held is not None]
    factors = sorted(check.factor for check in held)
    value = {
        "schema": SCHEMA,
        "command": sweep.template,
        "axes": {name: list(values) for name, values in sweep.axes.items()},
        "rate": sweep.rate,
        "sizes": list(sweep.sizes),
        "loss": "validation" if validated and outcomes else "training",
        "runs": [_run(outcome, validated) for outcome in outcomes],
        "curves": _curves(sweep, outcomes, validated),
        "quantities": [asdict(quantity) for quantity in QUANTITIES],
        "forecasts": [_forecast(forecast) for forecast in made],
        "held_back": {
            "checks": len(held),
            "median_factor": float(np.median(factors)) if factors else math.nan,
            "largest_factor": factors[-1] if factors else math.nan,
            "inside": sum(check.inside is True for check in held),
            "intervals": sum(check.inside is not None for check in held),
        },
    }
    return json_safe(value)


def _run(outcome: Outcome, validated: bool) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "values": dict(outcome.values),
        "state": outcome.state,
        "code": outcome.code,
        "seconds": outcome.seconds,
        "steps": outcome.steps,
        "parameters": outcome.parameters,
        "first_loss": outcome.first_loss,
        "loss": _loss(outcome, validated),
    }


def _loss(outcome: Outcome, validated: bool) -> float:
    return outcome.valid_loss if validated else outcome.train_loss


def _curves(sweep: Plan, outcomes: Sequence[Outcome], validated: bool) -> list[dict[str, Any]]:
    """Loss over learning rate, one curve a size."""
    by_size: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in outcomes:
        by_size.setdefault(tuple(outcome.values[name] for name in sweep.sizes), []).append(outcome)
    curves = []
    for size, mine in by_size.items():
        points = []
        for rate in sorted({o.values.get(sweep.rate, "") for o in mine}, key=lambda text: float(text or 0)):
            here = [o for o in mine if o.values.get(sweep.rate, "") == rate]
            losses = [_loss(o, validated) for o in here]
            states = [o.state for o in here]
            worst = next((s for s in ("missing", "failed", "diverged") if s in states), "finished")
            points.append({"rate": rate, "loss": float(np.mean(losses)), "state": worst})
        firsts = [o.first_loss for o in mine if math.isfinite(o.first_loss)]
        first = float(np.mean(firsts)) if firsts else math.nan
        curves.append(
            {
                "size": ", ".join(f"{name} {value}" for name, value in zip(sweep.sizes, size, strict=True)),
                "parameters": next((o.parameters for o in mine if math.isfinite(o.parameters)), math.nan),
                "first_loss": first,
                "points": points,
                "sensitivity": _sensitivity(sweep, points, first),
            }
        )
    # by size where it is known
    return sorted(curves, key=lambda curve: (math.isnan(curve["parameters"]), curve["parameters"]))


def _sensitivity(sweep: Plan, points: Sequence[dict[str, Any]], first: float) -> float:
    """NaN where it cannot be told: no rates, uneven ones, no finite loss, or runs that are missing."""
    if not sweep.rate or len(points) < 2 or any(point["state"] == "missing" for point in points):
        return math.nan
    try:
        return lr_sensitivity([p["loss"] for p in points], first, lrs=[float(p["rate"]) for p in points])
    except ValueError:
        return math.nan


def _forecast(forecast: Forecast) -> dict[str, Any]:
    held = forecast.held
    return {
        "quantity": forecast.quantity.name,
        "rate": forecast.rate,
        "step": forecast.step,
        "sizes": list(forecast.sizes),
        "values": list(forecast.values),
        "state": forecast.state,
        "crossed_at": forecast.crossed_at,
        "exponent": forecast.exponent,
        "crossing": asdict(forecast.crossing),
        "held_back": None if held is None else {**asdict(held), "factor": held.factor, "inside": held.inside},
    }
