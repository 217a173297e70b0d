"""The section of the report on the Hessian's spectrum, where it was measured."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from surefoot.plots import density_traces
from surefoot.report.cards import Place
from surefoot.report.record import Record
from surefoot.report.wording import number

TEXT = (
    "How the curvature of the loss is spread over directions in weight space: a few sharp ones stand apart, most are "
    "flat. Density on a logarithmic axis; marks are eigenvalues found exactly."
)


def section(record: Record, place: Place) -> str:
    """The spectrum as a figure with its numbers beside it; empty where none was measured."""
    found = {key: array for _, key, array in record.run.blobs("hessian")}
    events = record.events("hessian")
    if not events or not {"grid", "density", "atoms"} <= set(found):
        return ""
    facts = events[-1].data
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in _facts(facts))
    chart = place(_figure(found), "")
    return (
        f'<section id="curvature"><h2>Curvature</h2><p>{TEXT}</p><div class="panel">{chart}</div>'
        f'<div class="panel"><table>{rows}</table></div></section>'
    )


def _facts(facts: dict[str, Any]) -> list[tuple[str, str]]:
    def end(name: str) -> str:
        pair = facts[name]
        told = "" if pair["converged"] else " (not converged)"
        return f"{number(pair['value'])} ± {number(pair['residual'])}{told}"

    share = {name: f"{100 * float(facts[name]):.3g} %" for name in ("flat", "negative", "gradient_overlap")}
    trace = facts["trace"]
    return [
        ("Largest eigenvalue", end("largest")),
        ("Smallest eigenvalue", end("smallest")),
        ("Trace", f"{number(trace['value'])} ± {number(trace['stderr'])}"),
        ("Effective rank", number(facts["effective_rank"])),
        ("Eigenvalues that stand apart", f"{facts['outliers']}, the last {number(facts['gap'])} × the next"),
        ("Flat directions", share["flat"]),
        ("Downward directions", share["negative"]),
        (f"Gradient in the sharpest {facts['k']}", share["gradient_overlap"]),
        (
            "Measured over",
            f"{facts['rows']:,} rows, {facts['parameters']:,} parameters, {facts['products']:,} products",
        ),
    ]


def _figure(found: dict[str, np.ndarray]) -> dict[str, Any]:
    name = f"{len(found['atoms'])} found exactly"
    traces = density_traces(found["grid"], found["density"], found["atoms"], name)
    layout = {
        "height": 320,
        "xaxis": {"title": {"text": "eigenvalue"}},
        "yaxis": {"title": {"text": "density"}, "type": "log"},
    }
    return {"data": traces, "layout": layout}
