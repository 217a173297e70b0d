"""Cures of terms that drown each other: other weights, or targets in a unit of their own."""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.remedies import best_of
from surefoot.runs.schema import OWN_WEIGHT, Remedy

_LOSSES = ("mse_loss", "smooth_l1_loss", "huber_loss")  # which compare with targets
_FAR = 10.0  # as of inputs: weights of order one are ten times off, and their errors a hundred times
_DECADES = (0.1, 0.01, 0.001, 1e-4)  # of that weight: by how much it is too large, branches of the script tell
BALANCE = Remedy(
    name="terms weighted by their gradients",
    why="each term then moves the weights that they share as much as the others do",
    how=(
        "# after: optimizer\n"
        "from surefoot.losses import TermBalance\n"
        "balance = TermBalance()\n"
        "def balanced(*terms):  # in the place of their sum: loss = balanced(first_term, second_term)\n"
        "    return balance(terms, list(model.parameters()))\n"
    ),
    apply="balance-terms",
)
UNIT_TARGETS = Remedy(
    name="targets in a unit of their own",
    why="a head of order one then predicts targets of order one: it need not grow a thousandfold first, and its error "
    "does not drown what else is learned",
    how=(
        "# after: optimizer\n"
        "import torch\n"
        "MEAN, DEVIATION = 0.0, 1.0  # of the training targets; better: train on (targets - MEAN) / DEVIATION\n"
        "head = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]\n"
        "head.register_forward_hook(lambda module, args, output: MEAN + DEVIATION * output)\n"
    ),
    apply="unit-targets",
)


def weighed(factor: float, term: str = "squared_error") -> Remedy:
    """Another weight for one term, by which it and what it drowns are as loud as each other."""
    name, times = term.rpartition(": ")[2], f"{factor:.3g}".replace("e+", "e")  # a + stands between remedies
    return Remedy(
        name="another weight for the term",
        why=f"{name} then moves the weights that it shares with others as much as they do",
        how=(
            "# after: model\n"
            f"FACTOR = {factor:.3g}  # of the weight that {name} has now: loss = … + FACTOR * weight * term\n"
        ),
        apply=f"term-weight:term={name.replace(' ', '.')}*{times}",
    )


def kind_of(term: str) -> str:
    """The function or operation that makes a term, of its name: without its optimiser, and its number among others."""
    return term.rpartition(": ")[2].split(" ")[0]


def far_targets(history: History) -> bool:
    """Whether targets, as last seen, are ten times larger or smaller than one."""
    for name in history.wheres("target_rms"):
        sizes = history.series("target_rms", name)[1]
        sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
        if len(sizes) and not 1 / _FAR < float(sizes[-1]) < _FAR:
            return True
    return False


def drowned_by(history: History, loud: str) -> tuple[Remedy, ...]:
    """The cures where the term ``loud`` drowns others: an error may do so by nothing but the unit of its
    targets, which a head of order one misses at first by their own size; then another unit comes first. A term that has
    a weight of its own below 1 is none that ``balance-terms`` changes: then that weight is what is too large."""
    if history.value("term_weight", loud) < OWN_WEIGHT:
        lighter = [weighed(factor, loud) for factor in _DECADES]
        return best_of(lighter[:1], *(cure.apply for cure in lighter[1:] if cure.apply is not None))
    kind = kind_of(loud)
    if kind not in _LOSSES and not far_targets(history):
        return (BALANCE,)
    values = history.measured("term_value", loud)[1]
    far = kind in _LOSSES and len(values) > 0 and abs(float(values[0])) >= _FAR**2
    return best_of((UNIT_TARGETS, BALANCE) if far else (BALANCE, UNIT_TARGETS))
