"""``rank-desync``: processes that train one model together no longer hold the same weights."""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign, rule
from surefoot.runs.schema import Evidence, Remedy, Severity

# Ranks that apply the same gradients to the same weights agree bit by bit. What may differ is rounding where their
# hardware differs: half an ulp of float32 (6e-8) a step, in random directions √t of them: 6e-6 after 10⁴ steps.
ROUNDING = 1e-5
_LOOKS = 2
_GRADIENTS = 3  # looks at gradients that agree

BROADCAST = Remedy(
    name="start from rank 0's weights",
    why="what drifted apart is made one again; the cause has to be removed as well, or it comes back",
    how=(
        "# after: model\n"
        "import torch\n"
        "import torch.distributed as dist\n"
        "if dist.is_available() and dist.is_initialized():\n"
        "    with torch.no_grad():\n"
        "        for tensor in (*model.parameters(), *model.buffers()):\n"
        "            dist.broadcast(tensor, src=0)\n"
    ),
)
DATA_PARALLEL = Remedy(
    name="torch.nn.parallel.DistributedDataParallel",
    why="it starts all ranks from one set of weights and averages their gradients in every backward",
    how=(
        "# after: model\n"
        "import torch.distributed as dist\n"
        "from torch.nn.parallel import DistributedDataParallel\n"
        "if dist.is_available() and dist.is_initialized():\n"
        "    model = DistributedDataParallel(model)\n"
    ),
)
SAME_RATE = Remedy(
    name="one learning rate for all ranks",
    why="a rate that follows a number of this rank's own (a local validation loss, say) moves its weights alone",
    how=(
        "# after: optimizer\n"
        "import torch\n"
        "import torch.distributed as dist\n"
        "def same_rate(optimizer, *_):\n"
        "    for group in optimizer.param_groups:\n"
        '        rate = torch.tensor(float(group["lr"]), dtype=torch.float64)\n'
        "        dist.broadcast(rate, src=0)\n"
        '        group["lr"] = rate.item()\n'
        "if dist.is_available() and dist.is_initialized():\n"
        "    optimizer.register_step_pre_hook(same_rate)\n"
    ),
)
SAME_GRADIENT = Remedy(
    name="gradients averaged over all ranks",
    why="whatever the forward was called through, each step is then made of all ranks' gradients, and from the same "
    "weights",
    how=(
        "# after: optimizer\n"
        "import torch\n"
        "import torch.distributed as dist\n"
        'held = [p for group in optimizer.param_groups for p in group["params"]]\n'
        "def average(*_):\n"
        "    for parameter in [p for p in held if p.requires_grad]:\n"
        "        if parameter.grad is None:\n"
        "            parameter.grad = torch.zeros_like(parameter)\n"
        "        dist.all_reduce(parameter.grad)\n"
        "        parameter.grad /= dist.get_world_size()\n"
        "if dist.is_available() and dist.is_initialized():\n"
        "    for parameter in held:\n"
        "        dist.broadcast(parameter.data, src=0)\n"
        "    optimizer.register_step_pre_hook(average)\n"
    ),
)
SAME_WEIGHTS = Remedy(
    name="rank 0's weights after each step",
    why="gradients and rates agree, so something else changes weights on one rank; until that is found, this takes it "
    "back",
    how=(
        "# after: optimizer\n"
        "import torch.distributed as dist\n"
        'held = [p for group in optimizer.param_groups for p in group["params"]]\n'
        "def follow(*_):\n"
        "    for parameter in held:\n"
        "        dist.broadcast(parameter.data, src=0)\n"
        "if dist.is_available() and dist.is_initialized():\n"
        "    follow()\n"
        "    optimizer.register_step_post_hook(follow)\n"
    ),
)
_EQUAL = "equal weights and equal gradients stay equal; float32 rounding walks 6e-8·√t, 6e-6 in 10⁴ steps"


@rule("rank-desync", needs=("replicas", "replica_steps"))
def rank_desync(history: History) -> Sign | None:
    """Weights that ranks should share differ by more than rounding, at two steps in a row at which they were compared;
    or their learning rates do.

    Under DistributedDataParallel they must not: critical. Without it ranks may train models of their own; where they
    have begun with the very same weights, in one process group, or are given the very same gradients, that is hardly
    meant: a warning.
    """
    kinds = {str(event.data.get("kind")) for event in history.events("replicas")}
    replicated = "ddp" in kinds
    names = history.wheres("learning_rate_spread")
    rates = [(name, value) for name in names if (value := _spread_of_rates(history, name)) is not None]
    recent = history.recent_layers("replica_distance", _LOOKS)
    apart = len(recent) == _LOOKS and all(bool((row.values > ROUNDING).any()) for row in recent)
    if not apart:
        return _rates_alone(history, rates) if replicated and rates else None
    averaged = _averaged(history)
    first = history.first_layers("replica_distance")[0]
    began_equal = first.step == 0 and not bool((first.values > ROUNDING).any())
    if not replicated and ("group" not in kinds or not (began_equal or (averaged and first.step == 0))):
        return None
    newest = recent[-1]
    layers = [name for name, value in zip(newest.names, newest.values, strict=True) if value > ROUNDING]
    layers.sort(key=lambda name: -newest[name])
    worst, rank = layers[0], int(history.value("replica_rank"))
    evidence = [Evidence("replica_distance", worst, row.step, row[worst], ROUNDING, _EQUAL) for row in recent]
    evidence += _of_rates(history, rates)
    shown = ", ".join(layers[:3]) + (", …" if len(layers) > 3 else "")
    cause = f"rank {rank} and rank 0 do not hold the same weights: {shown} differ by up to {newest[worst]:.2g}"
    if rates:
        cause += ", and so do their learning rates"
        cures: tuple[Remedy, ...] = (SAME_RATE, BROADCAST)
    elif averaged and not replicated and not began_equal:
        cause += ", and never did, though they are given the same gradients: they were not made equal at the start"
        cures = (BROADCAST, SAME_WEIGHTS)
    elif averaged:
        cause += ", though their gradients and learning rates agree: something else changes them"
        cures = (SAME_WEIGHTS, BROADCAST)
    elif replicated:
        cause += ": the model is called past DistributedDataParallel's forward, so that gradients are not averaged, or "
        cause += "something else changes them"
        cures = (SAME_GRADIENT, BROADCAST)
    else:
        cause += ", though they began as one: their gradients are not averaged"
        cures = (DATA_PARALLEL, SAME_GRADIENT)
        if len(layers) < len(newest.names):  # the script averages some by hand, where it keeps the model as it is
            cures = cures[::-1]
    severity: Severity = "critical" if replicated else "warning"
    began = max(1, _began(history, newest.step))
    return Sign(severity, cause[0].upper() + cause[1:] + ".", tuple(evidence), tuple(layers[:8]), began, cures)


def _spread_of_rates(history: History, name: str) -> float | None:
    """The newest one, if it and the one before are beyond rounding."""
    steps, values = history.series("learning_rate_spread", name)
    seen = np.isfinite(values)
    steps, values = steps[seen], values[seen]
    # rates that agree are written down at looks only: what is old has healed
    recent = len(values) >= _LOOKS and history.step - steps[-1] <= history.step // 4
    return float(values[-1]) if recent and (values[-_LOOKS:] > ROUNDING).all() else None


def _of_rates(history: History, rates: list[tuple[str, float]]) -> list[Evidence]:
    source = "one model has one learning rate"
    return [Evidence("learning_rate_spread", name, history.step, value, ROUNDING, source) for name, value in rates]


def _rates_alone(history: History, rates: list[tuple[str, float]]) -> Sign:
    cause = "Ranks train one model with different learning rates: their weights drift apart from here on."
    steps, values = history.series("learning_rate_spread", rates[0][0])
    began = max(1, int(steps[values > ROUNDING][0]))
    return Sign("critical", cause, tuple(_of_rates(history, rates)), (), began, (SAME_RATE, BROADCAST))


def _averaged(history: History) -> bool:
    """Ranks are given the same gradients, as far as the last looks at them tell."""
    found = [history.series("gradient_spread", name)[1] for name in history.wheres("gradient_spread")]
    found = [values[np.isfinite(values)][-_GRADIENTS:] for values in found]
    return bool(found) and all(len(values) == _GRADIENTS and (values <= ROUNDING).all() for values in found)


def _began(history: History, newest: int) -> int:
    rows = history.recent_layers("replica_distance", 256)
    equal = [row.step for row in rows if not bool((row.values > ROUNDING).any())]
    since = equal[-1] if equal else -1
    return next((row.step for row in rows if row.step > since), newest)
