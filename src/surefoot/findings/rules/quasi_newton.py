"""L-BFGS on batches that change, with nothing to bound its steps.

L-BFGS learns the curvature of the loss from differences of its gradients, and goes to where that puts the minimum: with
rate 1 the whole way. Where each step has another batch, a difference is mostly that of two batches, and what it says of
curvature is noise, also of the wrong sign (Schraudolph, Yu, Günter 2007, A stochastic quasi-Newton method for online
convex optimization; Bollapragada et al. 2018, arXiv 1802.05374); and a batch of fewer rows than the model has
parameters has its minimum anywhere. A line search refuses a step after which the loss on its own batch is higher.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.levels import LossLevel
from surefoot.findings.progress import one_loss, resting
from surefoot.findings.rule import Sign
from surefoot.runs.schema import Evidence, Remedy, Severity

_LOOKS, _FIRST = 4, 16
_WHOLE = 0.5  # of a quasi-Newton step: a tenth of it, as some take on batches, is damped
_STEPS = 32  # a quasi-Newton step is worth many of a gradient
_CHANGING = "each look found another batch, with fewer rows than there are parameters, and no line search"
_RESTS = "a fifth of the first loss; and no less than nine tenths of what it was at half of the steps"

FIRST_ORDER = Remedy(
    name="torch.optim.Adam",
    why="it takes batches as they come; L-BFGS wants one and the same data at each step, and a line search there",
    how=(
        "# after: optimizer = LBFGS\n"
        "import torch\n"
        "class Adam(torch.optim.Adam):\n"
        '    """As many steps for each call as L-BFGS made iterations."""\n'
        "    iterations = 1\n"
        "    def step(self, closure):\n"
        "        losses = [super(Adam, self).step(closure) for _ in range(self.iterations)]\n"
        "        return losses[0]\n"
        "if isinstance(optimizer, torch.optim.LBFGS):\n"
        "    whole = optimizer.param_groups[0]\n"
        '    optimizer = Adam(whole["params"], lr=2e-3)\n'
        '    Adam.iterations = whole["max_iter"]\n'
    ),
    apply=None,
)


def unsearched(history: History, harmed: Callable[[LossLevel], bool]) -> Sign | None:
    """Told at the fourth look at such steps, as ``unsafe-step``; critical once they have ``harmed`` the loss."""
    for name, level in history.losses.items():
        found = _changing(history, name)
        if found is None:
            continue
        step, rows, parameters = found
        cause = (
            f"L-BFGS takes whole quasi-Newton steps, without a line search, on batches that change: {rows:.0f} rows at "
            f"a time for {parameters} parameters. What it goes by is mostly the difference of two batches."
        )
        evidence = Evidence("batch_rows", name, step, rows, float(parameters), _CHANGING)
        severity: Severity = "critical" if harmed(level) else "warning"
        return Sign(severity, cause, (evidence,), (name,) if name else (), _since(history, name), (FIRST_ORDER,))
    return None


def unsettled(history: History, name: str, level: LossLevel) -> Sign | None:
    """Where the loss comes to rest under such steps, far from a fit, as ``stalled``."""
    if not one_loss(history) or level.steps < _STEPS or not resting(level) or _changing(history, name) is None:
        return None
    cause = (
        f"nothing more is learned: the loss rests at {level.recent:.3g} of {level.first:.3g} at first, under steps of "
        "L-BFGS that go by the curvature of one batch on another."
    )
    evidence = Evidence("loss", name, level.newest_step, level.recent, 0.2 * level.first, _RESTS)
    return Sign("warning", cause, (evidence,), (name,) if name else (), level.first_step, (FIRST_ORDER,))


def _since(history: History, name: str) -> int:
    return max(1, history.of_a_kind_since(name))


def _changing(history: History, name: str) -> tuple[int, float, int] | None:
    """The newest look, a batch's rows and the parameters, if each of the first looks found another batch."""
    made = history.optimizer(name)
    if made.get("type") != "LBFGS" or made.get("defaults", {}).get("line_search_fn"):
        return None
    steps, batches = history.measured("distinct_batches", name)
    mine = steps >= _since(history, name)
    steps, batches = steps[mine], batches[mine]
    # the first look may be of another part of the loss than all others; and some day no more batches are remembered
    if (
        len(steps) < _LOOKS
        or not (np.diff(batches[1:_FIRST]) > 0).all()
        or not history.value("learning_rate", name) >= _WHOLE
    ):
        return None
    rows, parameters = history.measured("batch_rows", name)[1], int(made.get("parameters") or 0)
    if not len(rows) or not 1 < rows[-1] < parameters:
        return None
    return int(steps[-1]), float(rows[-1]), parameters
