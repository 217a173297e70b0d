"""``unstable-gating``: gates of a recurrence over a grid add up along its many paths.

On a grid the paths between two nodes number C(x + y, x), so that gates of at most 1 do not bound their sum. What leaves
a node summing to no more than what came does (P-mode), and so does one path between any two nodes (D-mode): no sum over
paths from one edge exceeds 1 then (Pöppel et al., NeurIPS 2025, arXiv 2506.11997, section 3).
"""

from __future__ import annotations

import numpy as np

from surefoot.findings import remedies
from surefoot.findings.history import History
from surefoot.findings.rule import Sign, rule
from surefoot.runs.schema import Evidence, Remedy

_LOOKS = 3
_GAIN = 2.0  # twice the bound of either mode, so that rounding and a small excess say nothing
_OWN = 8.0  # three doublings: a small grid of gates that are open by a bias has a little more than the bound
_SOURCE = (
    "sums over paths stay ≤ 1 in P- and D-mode; twice that, and growing with distance (arXiv 2506.11997, section 3)"
)
_SOURCE_LOCAL = "what leaves a node sums to no more than what came: the rule of P-mode (arXiv 2506.11997, section 3)"

P_MODE = Remedy(
    name="surefoot.nn.plstm.PLSTM2d",
    why="in P-mode what comes to a node is shared out between its ways on, so that no sum over paths grows",
    how=(
        "# after: model\n"
        "from surefoot.nn.plstm import PLSTM2d\n"
        "for module in list(model.modules()):\n"
        "    for name, layer in list(module.named_children()):\n"
        "        if isinstance(layer, PLSTM2d):\n"
        "            kind = 'bias' if layer.gate_weight is None else 'input'\n"
        "            place = {'device': layer.cells.weight.device, 'dtype': layer.cells.weight.dtype}\n"
        "            made = PLSTM2d(layer.cells.dim, layer.cells.heads, 'P', kind, len(layer.flips), **place)\n"
        "            made.cells.load_state_dict(layer.cells.state_dict())\n"
        "            setattr(module, name, made)\n"
    ),
)


SHARED = Remedy(
    name="gates that share one state out",
    why="what a state takes of several earlier ones then sums to no more than one of them, over however many paths",
    how=(
        "# after: model\n"
        "import torch\n"
        "def shared(first, second):  # in the place of first.sigmoid() and second.sigmoid(), before they weigh states\n"
        "    share = torch.sigmoid(first - second)\n"
        "    return share, 1 - share\n"
    ),
)


@rule("unstable-gating", needs=("gating",))
def unstable_gating(history: History) -> Sign | None:
    """In some layer the sum over paths exceeds twice the bound of both modes and grows with distance, at three looks in
    a row: warning. Not finite: critical. Eight times where a script wrote the gates itself, of which no bound at a node
    is known."""
    gains = history.recent_layers("gating_gain", _LOOKS)
    exponents = history.recent_layers("gating_exponent", _LOOKS)
    if len(gains) < _LOOKS or gains[-1].step != history.step:
        return None
    sums = history.recent_layers("gating_column_sum", 1)
    own = not sums or np.isnan(sums[-1].values).all()
    bound = _OWN if own else _GAIN
    with np.errstate(invalid="ignore"):
        grown = [
            np.isposinf(gain.values) | ((gain.values > bound) & (exponent.values < 0))
            for gain, exponent in zip(gains, exponents, strict=True)
        ]
    found = np.all(grown, axis=0)
    if not found.any():
        return None
    names = np.array(gains[-1].names)
    at = int(np.argmax(np.where(found, gains[-1].values, -np.inf)))
    gain = float(gains[-1].values[at])
    evidence = [Evidence("gating_gain", names[at], history.step, gain, bound, _SOURCE)]
    if sums and sums[-1].values[at] > 1:
        value = float(sums[-1].values[at])
        evidence.append(Evidence("gating_column_sum", names[at], history.step, value, 1.0, _SOURCE_LOCAL))
    cause = (
        f"the gates of {names[at]} add up along the many paths of its grid: what one node writes arrives {gain:.3g} "
        "times as large, and more on a larger grid."
    )
    where = tuple(str(name) for name in names[found])
    cures = remedies.best_of((SHARED, remedies.CLIP, remedies.lower_rate(10.0))) if own else (P_MODE,)
    return Sign("critical" if np.isposinf(gain) else "warning", cause, tuple(evidence), where, gains[0].step, cures)
