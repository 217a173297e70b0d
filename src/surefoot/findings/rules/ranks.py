"""``rank-desync``: processes that train one model together no longer hold the same weights."""

from __future__ import annotations

from surefoot.findings.history import History
from surefoot.findings.rule import Sign, rule
from surefoot.runs.schema import Evidence, Remedy

# Ranks that apply the same gradients to the same weights agree bit by bit. What may differ is rounding where their
# hardware differs: half an ulp of float32 (6e-8) a step, in random directions √t of them: 6e-6 after 10⁴ steps.
ROUNDING = 1e-5
_LOOKS = 2

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
        "if dist.is_available() and dist.is_initialized():\n"
        "    for group in optimizer.param_groups:\n"
        '        rate = torch.tensor(float(group["lr"]), dtype=torch.float64)\n'
        "        dist.broadcast(rate, src=0)\n"
        '        group["lr"] = rate.item()\n'
    ),
)


@rule("rank-desync", needs=("replicas",))
def rank_desync(history: History) -> Sign | None:
    """Weights that ranks should share differ by more than rounding, at two steps in a row at which they were compared.

    Under DistributedDataParallel they must not: critical. Without it ranks may train models of their own; where they
    have begun with the very same weights, in one process group, that is hardly meant: a warning.
    """
    recent = history.recent_layers("replica_distance", _LOOKS)
    if len(recent) < _LOOKS or not all(bool((row.values > ROUNDING).any()) for row in recent):
        return None
    kinds = {str(event.data.get("kind")) for event in history.events("replicas")}
    replicated = "ddp" in kinds
    first = history.first_layers("replica_distance")[0]
    if not replicated and ("group" not in kinds or first.step > 0 or bool((first.values > ROUNDING).any())):
        return None
    newest = recent[-1]
    apart = [name for name, value in zip(newest.names, newest.values, strict=True) if value > ROUNDING]
    apart.sort(key=lambda name: -newest[name])
    worst, rank = apart[0], int(history.value("replica_rank"))
    evidence = [
        Evidence("replica_distance", worst, row.step, row[worst], ROUNDING,
                 "equal weights and equal gradients stay equal; float32 rounding walks 6e-8·√t, 6e-6 in 10⁴ steps")
        for row in recent
    ]  # fmt: skip
    rates = [(name, history.value("learning_rate_spread", name)) for name in history.wheres("learning_rate_spread")]
    uneven = [(name, value) for name, value in rates if value > ROUNDING]
    evidence += [
        Evidence("learning_rate_spread", name, newest.step, value, ROUNDING, "one model has one learning rate")
        for name, value in uneven
    ]
    shown = ", ".join(apart[:3]) + (", …" if len(apart) > 3 else "")
    cause = f"rank {rank} and rank 0 no longer hold the same weights: {shown} differ by up to {newest[worst]:.2g}"
    if uneven:
        cause += ", and so do their learning rates"
        remedies: tuple[Remedy, ...] = (SAME_RATE, BROADCAST)
    elif replicated:
        cause += ", though DistributedDataParallel makes their gradients equal: something else changes them"
        remedies = (BROADCAST,)
    else:
        cause += ", though they began as one: their gradients are not averaged"
        remedies = (DATA_PARALLEL,)
    rows = [r for r in history.recent_layers("replica_distance", 256) if not bool((r.values > ROUNDING).any())]
    began = next((r.step for r in history.recent_layers("replica_distance", 256)
                  if r.step > (rows[-1].step if rows else -1)), newest.step)  # fmt: skip
    return Sign(
        "critical" if replicated else "warning",
        cause[0].upper() + cause[1:] + ".",
        tuple(evidence),
        tuple(apart[:8]),
        max(1, began),
        remedies,
    )
