"""Inputs that grow for as long as the run goes on: a way of ``unscaled-inputs``.

A clock, a counter or a sum among the features is small where the run begins and has no largest value. The curvature
that the first layer sees is the second moment of the inputs (LeCun et al. 1998, §4.3), so that steps that were short at
first grow too long with it; and what rows differ by becomes a smaller share of what enters at each step.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.findings.rules.input_cures import GROWN
from surefoot.runs.schema import Evidence

_LARGE = 10.0  # times the size at the first looks; pre-activations of that size
_FEWEST, _STEPS = 8, 64  # looks and steps
_LESS, _LEAST = 0.75, 0.25  # of the size, at half of the steps: growth as step^0.4 … step^2, and no leap
_SOURCE = "ten times its size at the first looks, and it has grown at each doubling of the steps"


def growing(history: History, layer: str) -> Sign | None:
    """Inputs are ten times as large as at the first looks and more than the weights are made for, were between a
    quarter and three quarters of that after half of the steps, and the same a doubling before; and a step since has
    promised to lower the loss by twice all there is: warning. Not in a game, where the other player may make them."""
    steps, sizes = history.measured("input_rms", layer)
    firsts = [rows[layer] for rows in history.first_layers("input_rms") if layer in rows.names]
    firsts = [size for size in firsts if size > 0]
    if len(steps) < _FEWEST or not firsts or steps[-1] < _STEPS or history.wheres("generated_move"):
        return None
    first, now = float(np.median(firsts)), float(np.median(sizes[-3:]))
    reaches = history.value("preactivation_scale", layer)
    if not now >= _LARGE * first or not reaches >= _LARGE:
        return None
    half, quarter = (float(sizes[steps <= part * steps[-1]][-1:].sum()) for part in (1 / 2, 1 / 4))
    if not _LEAST * now <= half <= _LESS * now or not _LEAST * half <= quarter <= _LESS * half:
        return None
    began = int(steps[np.flatnonzero(sizes >= _LARGE * first)[0]])
    for name, pace in history.paces.items():
        far = [s for s in pace.overshot if s.step >= began]
        if not far:
            continue
        evidence = (
            Evidence("input_rms", layer, int(steps[-1]), now, _LARGE * first, _SOURCE),
            Evidence("predicted_decrease / (2 · loss)", name, far[-1].step, far[-1].overshoot, 1.0,
                     "a step that promises more than twice the loss leaves the valley (Polyak 1987)"),
        )  # fmt: skip
        cause = (
            f"the inputs of {layer} grow with the run: their size went from {first:.3g} to {now:.3g}, doubles with the "
            "steps, and the steps have become too long for it."
        )
        return Sign("warning", cause, evidence, (layer,), began, GROWN)
    return None
