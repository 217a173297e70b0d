"""``hyperbolic-collapse``: norms shrink to the origin from layer to layer of a network on the Poincaré ball.

Near the origin a fully connected layer is y = 2Zx, so that weights of N(0, 1/(2nm)) multiply norms by √(2/n): van
Spengler, Berkhout, Mettes, "Poincaré ResNet", ICCV 2023, arXiv 2303.14027. A few layers of that do no harm.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign, rule
from surefoot.runs.schema import Evidence, Remedy, Severity

_LOOKS = 3
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


@rule("hyperbolic-collapse", needs=("hyperbolic",))
def hyperbolic_collapse(history: History) -> Sign | None:
    """The mean factor of eight or more layers is below 0.7 at three looks in a row: warning; info in a run that
    learns."""
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
