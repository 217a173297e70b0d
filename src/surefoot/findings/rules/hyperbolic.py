"""``hyperbolic-collapse``: norms shrink to the origin from layer to layer of a network on the Poincaré ball.

Near the origin a fully connected layer is y = 2Zx, so that weights of N(0, 1/(2nm)) multiply norms by √(2/n): van
Spengler, Berkhout, Mettes, "Poincaré ResNet", ICCV 2023, arXiv 2303.14027. A few layers of that do no harm.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.progress import resting
from surefoot.findings.rule import Sign, rule
from surefoot.runs.schema import Evidence, Remedy, Severity

_LOOKS, _STEPS = 3, 64
_FACTOR = 0.7
_LAYERS = 8  # after which 0.7 a layer leaves 6 % of the norm
_SOURCE = (
    "an isometric initialisation has factor 1; HNN++'s has √(2/n) (arXiv 2303.14027); digits at ten layers and "
    "0.18 a layer reach 54 % instead of 95 %"
)

IDENTITY = Remedy(
    name="surefoot.nn.hyperbolic.PoincareLinear",
    why="half the unit matrix makes a square layer exactly the identity, at any depth",
    how=(
        "# after: model\n"
        "from surefoot.nn.hyperbolic import PoincareConv2d, PoincareLinear\n"
        "for layer in model.modules():\n"
        "    if isinstance(layer, PoincareLinear | PoincareConv2d):\n"
        "        layer.init = 'box' if isinstance(layer, PoincareConv2d) else 'identity'\n"
        "        layer.reset_parameters()\n"
    ),
)


_HALF = 0.5  # of the largest distance that there was
_SOURCE_SPACE = (
    "half of the largest distance that there was; a ball of radius r has room for a tree of e^r leaves, and none is "
    "hyperbolic any more far below r = 1 (Nickel, Kiela 2017, arXiv 1705.08039)"
)
LET_GO = Remedy(
    name="no decay of points in the ball",
    why="a decay of coordinates draws all points to the origin, where the space is flat; what keeps them off the rim "
    "is the projection",
    how=(
        "# replace: optimizer.step()\n"
        "for group in optimizer.param_groups:\n"
        "    for key in group:\n"
        '        if "decay" in key:\n'
        "            group[key] = 0.0\n"
        "optimizer.step()\n"
    ),
)


@rule("hyperbolic-collapse", needs=("hyperbolic", "distances"))
def hyperbolic_collapse(history: History) -> Sign | None:
    """The mean factor of eight or more layers is below 0.7 at three looks in a row: warning; info in a run that
    learns. And where the space is given up again: see :func:`_drawn_in`."""
    return _layer_by_layer(history) or _drawn_in(history)


def _drawn_in(history: History) -> Sign | None:
    """The largest distance of the batch is below half of its highest at three looks in a row, while the loss is no
    lower than it was there, or is far from nothing and hardly falls: warning. Points that are told apart spread."""
    for name in history.wheres("hyperbolic_distance"):
        steps, far = history.measured("hyperbolic_distance", name)
        if len(far) < 2 * _LOOKS or steps[-1] != history.step:
            continue
        top = int(far.argmax())
        if len(far) - top <= _LOOKS or far[-_LOOKS:].max() > _HALF * far[top]:
            continue
        rests = history.step >= _STEPS and all(resting(level) for level in history.losses.values())
        if not rests and not _no_lower(history, int(steps[top])):
            continue
        evidence = Evidence(
            "hyperbolic_distance", name, history.step, float(far[-1]), _HALF * float(far[top]), _SOURCE_SPACE
        )
        cause = (
            f"points are drawn back to the origin of the hyperbolic space: the largest distance between them came to "
            f"{far[top]:.3g} at step {steps[top]} and is {far[-1]:.2g}."
        )
        return Sign("warning", cause, (evidence,), (name,) if name else (), int(steps[top]), (LET_GO,))
    return None


def _no_lower(history: History, step: int) -> bool:
    """The loss is where it was at this step, or above it."""
    for name in history.losses:
        steps, losses = history.measured("loss", name)
        before, now = losses[steps <= step][-_LOOKS:], losses[-_LOOKS:]
        if len(before) and len(now) and np.median(now) >= np.median(before):
            return True
    return False


def _layer_by_layer(history: History) -> Sign | None:
    looks = history.recent_layers("hyperbolic_factor", _LOOKS)
    if len(looks) < _LOOKS or looks[-1].step != history.step:
        return None
    for layers in looks:
        seen = layers.values[~np.isnan(layers.values)]
        if len(seen) < _LAYERS:
            return None
        total = float(np.log(np.maximum(seen, 1e-300)).sum())
        if not total / len(seen) < np.log(_FACTOR):
            return None
    mean, names = float(np.exp(total / len(seen))), np.array(looks[-1].names)
    low = np.nan_to_num(looks[-1].values, nan=np.inf) < _FACTOR
    worst = int(np.nanargmin(looks[-1].values))
    value = float(looks[-1].values[worst])
    evidence = Evidence("hyperbolic_factor", str(names[worst]), history.step, value, _FACTOR, _SOURCE)
    cause = (
        f"each of {len(seen)} layers on the Poincaré ball multiplies norms by {mean:.2g} on average: "
        f"{np.exp(total):.1g} of them reaches the end, and as little of the gradient reaches the beginning."
    )
    severity: Severity = "info" if history.learned else "warning"
    return Sign(severity, cause, (evidence,), tuple(str(n) for n in names[low]), looks[0].step, (IDENTITY,))
