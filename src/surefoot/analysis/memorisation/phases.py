"""The named outcomes of training on partly wrong labels, from the accuracies along a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from surefoot.analysis.memorisation.report import MemorizationReport

Phase = Literal[
    "generalisation", "coexistence", "partial inversion", "full inversion", "memorisation", "forgetting", "confusion"
]
PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(frozen=True)
class PhaseThresholds:
    """Where one phase ends and the next begins; ours, the paper names phases by eye.

    Attributes
    ----------
    generalises : test accuracy from which on the rule counts as learnt; also what "high" means for forgetting
    memorises : share of the wrong labels answered as given, beyond chance, from which on they count as memorised
    inverted : the same share below which they count as unlearnt
    fits : training accuracy from which on a network that did not learn the rule counts as memorising
    """

    generalises: float = 0.85
    memorises: float = 0.9
    inverted: float = 0.1
    fits: float = 0.9

    def __post_init__(self) -> None:
        values = (self.generalises, self.memorises, self.inverted, self.fits)
        if not all(0 < value <= 1 for value in values) or self.inverted >= self.memorises:
            raise ValueError(f"thresholds must be in (0, 1] with inverted < memorises, got {self}")


def classify_phase(
    history: Sequence[MemorizationReport | Mapping[str, float]] | MemorizationReport | Mapping[str, float],
    corruption: float,
    p: int,
    thresholds: PhaseThresholds = PhaseThresholds(),
) -> Phase:
    """The phase at the end of a run.

    With the rule learnt (test accuracy high): *coexistence*, the wrong labels are memorised as well; *partial
    inversion*, some of them are, so that test exceeds training accuracy; *full inversion*, none beyond chance, so that
    training accuracy is about 1 − ξ + ξ/p; *generalisation*, there were none. Without it: *memorisation*, the training
    labels are fit; *forgetting*, nothing is left of what was once learnt; *confusion*, nothing was learnt.

    Parameters
    ----------
    history : reports in the order of training, or only the last one. A mapping needs "train" and "test"; without
        "memorised", the memorised share is taken from the training accuracy as (train − (1 − ξ)) / ξ
    corruption : ξ in [0, 1], the share of the training labels drawn anew
    p : number of classes: 1/p of the wrong labels is right by chance, and is not counted as memorised

    Raises
    ------
    ValueError
        If the history is empty or lacks an accuracy, ξ is out of range, or p < 2.

    Source: Doshi et al. 2024 (arXiv 2310.13061).
    """
    if not 0 <= corruption <= 1:
        raise ValueError(f"corruption must be in [0, 1], got {corruption}")
    if p < 2:
        raise ValueError(f"p must be at least 2, got {p}")
    points = [history] if isinstance(history, MemorizationReport | Mapping) else list(history)
    if not points:
        raise ValueError("history must have at least one report")
    steps = [point.as_dict() if isinstance(point, MemorizationReport) else point for point in points]
    if missing := {"train", "test"} - set(steps[-1]):
        raise ValueError(f"history lacks {sorted(missing)}; there are {sorted(steps[-1])}")
    train, test = steps[-1]["train"], steps[-1]["test"]
    if test >= thresholds.generalises:
        if corruption == 0:
            return "generalisation"
        memorised = steps[-1].get("memorised", math.nan)
        if math.isnan(memorised):
            memorised = (train - (1 - corruption)) / corruption
        beyond_chance = (memorised - 1 / p) / (1 - 1 / p)
        if beyond_chance >= thresholds.memorises:
            return "coexistence"
        return "partial inversion" if beyond_chance >= thresholds.inverted else "full inversion"
    if train >= thresholds.fits:
        return "memorisation"
    best = max(max(step["train"], step["test"]) for step in steps)
    return "forgetting" if best >= thresholds.generalises else "confusion"
