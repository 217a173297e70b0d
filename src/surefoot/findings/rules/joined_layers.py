"""Layers that join a network in training, and throw it far beyond where it began: a form of ``exploding-gradient``.

A network that is made deeper goes on from what it has learned only if the new layers begin as (nearly) the identity
(Chen, Goodfellow, Shlens 2016, arXiv 1511.05641; a zero last layer in each residual branch: Goyal et al. 2017, arXiv
1706.02677, §5.1). Branches drawn at full size double the signal's variance each, and what comes out answers nothing.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.levels import EARLY
from surefoot.findings.progress import one_loss
from surefoot.findings.rule import Sign
from surefoot.runs.schema import Evidence, Remedy

_LEAP, _JUMP = 10.0, 100.0  # of the loss, over the highest of the 16 rows before; of the gradient, over its median
_ABSURD = 3.0  # of a constant's loss
_STILL = 3.0  # times the same highest, 16 rows after

BEGIN_AT_ZERO = Remedy(
    name="new layers that begin as the identity",
    why="branches that add nothing at first leave what was learned as it is, and grow as they are of use",
    how=(
        "# after: optimizer\n"
        "import torch\n"
        "def begin_at_zero(block):  # call it on each new block before it joins\n"
        "    last = [m for m in block.modules() if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))][-1:]\n"
        "    for module in last:\n"
        "        torch.nn.init.zeros_(module.weight)\n"
        "    return block\n"
    ),
)


def joined_layers(history: History, cures: tuple[Remedy, ...]) -> Sign | None:
    """Warning where the loss stands three times above all of the 16 rows before new layers came, 16 rows after it: it
    had leapt to ten times of that and three times what a constant scores, and the gradient to a hundred times."""
    told = history.events("modules")
    if len(told) < 2 or not history.losses or not one_loss(history):
        return None
    name = next(iter(history.losses))
    known = {str(m["name"]) for m in told[-2].data.get("modules", ())}
    new = [str(m["name"]) for m in told[-1].data.get("modules", ()) if str(m["name"]) not in known]
    if not new or not known - set(new):
        return None
    # a look may be later than what it finds: an optimizer is made for the new layers when they come
    seen, last_look = told[-1].step, _look_before(history, told[-1].step)
    came = min([e.step for e in history.events("optimizers") if last_look < e.step <= seen], default=seen)
    steps, losses = history.measured("loss", name)
    before, after = losses[steps < came][-EARLY:], losses[steps > came]
    if len(before) < EARLY or len(after) < EARLY:
        return None
    usual, leapt, now = float(before.max()), float(np.median(after[:3])), float(np.median(after[-EARLY:]))
    constants = history.measured("constant_loss", name)[1]
    constant = float(np.median(constants)) if len(constants) else 0.0
    at, norms = history.measured("gradient_norm", name)
    old, since = norms[at < came], norms[at >= came][:4]
    if not (usual > 0 and leapt >= max(_LEAP * usual, _ABSURD * constant) and now >= _STILL * usual):
        return None
    if not len(old) or not len(since) or not since.max() >= _JUMP * np.median(old):
        return None
    evidence = (
        Evidence("loss", name, int(steps[steps > came][0]), leapt, _LEAP * usual,
                 "the run's own history: ten times the highest of the 16 rows before"),
        Evidence("gradient_norm", name, int(at[at >= came][0]), float(since.max()), float(_JUMP * np.median(old)),
                 "the run's own history: a hundred times the median of the looks before"),
    )  # fmt: skip
    shown = ", ".join(new[:3]) + (", …" if len(new) > 3 else "")
    cause = (
        f"as {shown} joined at step {came} the loss leapt from {usual:.3g} to {leapt:.3g}, and the gradient from "
        f"{np.median(old):.3g} to {since.max():.3g}: they do not begin as the identity."
    )
    return Sign("warning", cause, evidence, tuple(new[:8]), came, (BEGIN_AT_ZERO, *cures))


def _look_before(history: History, step: int) -> int:
    steps = history.measured("weight_norm", next(iter(history.wheres("weight_norm")), ""))[0]
    return int(max(steps[steps < step], default=0))
