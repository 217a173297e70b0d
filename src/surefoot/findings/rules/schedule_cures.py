"""The cures of a learning rate that is not what its schedule was made for: the same schedule as it was meant."""

from __future__ import annotations

from surefoot.runs.schema import Remedy

SCHEDULER_LAST = Remedy(
    name="make the scheduler after the optimizer",
    why="a scheduler sets the rate of the very object that it was given",
    how=(
        "# after: optimizer\n"
        "import torch\n"
        "scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)  # yours\n"
    ),
    apply="schedule:every=auto",
)
STEP_THE_SCHEDULER = Remedy(
    name="scheduler.step()",
    why="a scheduler moves only when it is stepped: once a batch, or once an epoch, as its horizon counts",
    how=(
        "# replace: optimizer.step()\n"
        "import torch\n"
        'if "scheduler" not in globals():\n'
        "    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)  # yours\n"
        "optimizer.step()\n"
        "scheduler.step()\n"
    ),
    apply="schedule",
)


def step_every(steps: int) -> Remedy:
    """A scheduler moves once in so many steps of its optimiser."""
    if steps == 1:
        return STEP_THE_SCHEDULER
    return Remedy(
        name="scheduler.step() less often",
        why="the schedule that was meant, spread over the run: its horizon counts calls of scheduler.step()",
        how=(
            "# replace: scheduler.step()\n"
            'scheduler.calls = getattr(scheduler, "calls", 0) + 1  # calls once a batch\n'
            f"if scheduler.calls % {steps} == 0:\n"
            "    scheduler.step()\n"
        ),
        apply=f"schedule:every={steps}",
    )


def schedule_for(steps: int) -> Remedy:
    """A cosine over the length of the run, in the place of what is stepped now."""
    return Remedy(
        name="a schedule as long as the run",
        why="the horizon counts calls of scheduler.step(): batches here; use the number of all batches of the run",
        how=(
            "# replace: scheduler.step()\n"
            "import torch\n"
            f'if getattr(scheduler, "T_max", None) != {max(1, steps)}:\n'
            "    for group in optimizer.param_groups:\n"
            '        group["lr"] = group.get("initial_lr", group["lr"])  # where the cosine begins\n'
            f"    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max={max(1, steps)})\n"
            "scheduler.step()\n"
        ),
        apply=f"anneal:steps={max(2, steps)}",
    )
