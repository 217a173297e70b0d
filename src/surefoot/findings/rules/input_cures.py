"""The cures of inputs that are of another size than a network can use, all of them or a few."""

from __future__ import annotations

from dataclasses import replace

from surefoot.findings.remedies import best_of
from surefoot.runs.schema import Remedy


def _in_front(part: str) -> str:
    """The lines that put a layer of surefoot's in front of a model's first one."""
    return (
        "# after: model\n"
        "import torch\n"
        f"from surefoot.nn import {part}\n"
        "first = next(m for m in model.modules() if isinstance(m, (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d,\n"
        "                                                          torch.nn.Conv3d)))\n"
        "if isinstance(first, torch.nn.Linear):\n"
        f"    norm = {part}(first.in_features)\n"
        "else:\n"
        f"    norm = {part}(first.in_channels, dim=1)\n"
        "def standardise(module, args):\n"
        "    return (norm.to(args[0].device).train(module.training)(args[0]), *args[1:])\n"
        "first.register_forward_pre_hook(standardise)\n"
    )


STANDARDISE = Remedy(
    name="standardised inputs",
    why="each feature comes to mean 0 and variance 1, by all the rows that were seen in training so far",
    how=_in_front("RunningStandardize"),
    apply="standardize",
)
SAME_UNIT = Remedy(
    name="surefoot.nn.SameUnit",
    why="what is ten deviations from the first samples comes in another unit, and gets mean and deviation of those; "
    "better: convert it where it is read",
    how=_in_front("SameUnit"),
    apply="same-unit",
)
SKIP_OUTLIERS = Remedy(
    name="leave far-off rows out",
    why="rows with inputs far beyond all others want what nothing else wants; without them the rest sets the pace",
    how=(
        "# after: model\n"
        "import torch\n"
        "from surefoot.nn import Fences\n"
        "def leave_out(module, args, output):  # better: take these rows out of the data\n"
        "    if torch.is_grad_enabled() and output.requires_grad:\n"
        "        rows = args[0]\n"
        "        far = (Fences(rows.shape[-1], device=rows.device)(rows) != rows).flatten(1).any(1)\n"
        "        output.register_hook(lambda g: g.masked_fill(far.view(-1, *[1] * (g.dim() - 1)), 0))\n"
        "model.register_forward_hook(leave_out)\n"
    ),
    apply="skip-outliers",
)
BOUND_INPUTS = Remedy(
    name="surefoot.nn.Fences",
    why="no row's inputs are then further off than the usual range of each feature allows",
    how=(
        "# after: model\n"
        "from surefoot.nn import Fences\n"
        "fences = []\n"
        "def bounded(module, args):  # better: self.fences = Fences(…) where the model is made\n"
        "    if not fences:\n"
        "        fences.append(Fences(args[0].shape[-1], device=args[0].device))\n"
        "    return fences[0](args[0]), *args[1:]\n"
        "model.register_forward_pre_hook(bounded)\n"
    ),
    apply="bound-inputs",
)
EVEN_OUT = replace(STANDARDISE, apply="standardize:factor=1")
GROWN = best_of((BOUND_INPUTS, EVEN_OUT))
"""For inputs that were of the right size before: a first layer that is standardised at its start is left alone."""
OTHER_UNIT = best_of((SAME_UNIT, BOUND_INPUTS, EVEN_OUT))
