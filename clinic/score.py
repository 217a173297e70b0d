"""What the diagnoses are worth: recall, rank-1 accuracy, false alarms, lead before harm, confusions, overhead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from cases import Case
from harm import Curve, Harm, harm, parts
from metric import no_worse
from runs import Outcome

LATE = 60  # harm after this step leaves time for a warning
AHEAD, SHARE = 30, 0.25  # steps, or the share of the steps until harm, that a warning is to be ahead
NOTHING = "nothing"
Told = tuple[str, str, int, int]  # the run, the id, its rank, the step at which it was told


@dataclass(frozen=True)
class Patient:
    """One faulty script: what is wrong with it, what was found, and when.

    Attributes
    ----------
    case, outcome : the script and its run
    twins : the runs of its repaired twin, one a seed; without any, harm is not known
    """

    case: Case
    outcome: Outcome
    twins: tuple[Outcome, ...]

    @property
    def right(self) -> tuple[dict[str, Any], ...]:
        """The findings above info that are accepted."""
        return tuple(f for f in self.outcome.serious if f["id"] in self.case.accepts)

    @property
    def found(self) -> bool:
        """Whether the fault was found, at any rank."""
        return bool(self.right)

    @property
    def first(self) -> str:
        """The id at rank 1, or ``nothing``."""
        return self.outcome.serious[0]["id"] if self.outcome.serious else NOTHING

    @property
    def named(self) -> bool:
        """Whether rank 1 is right."""
        return self.first in self.case.accepts

    @property
    def strays(self) -> tuple[str, ...]:
        """The ids above info that are neither accepted nor allowed."""
        return tuple(f["id"] for f in self.outcome.serious if f["id"] not in self.case.accepts + self.case.allows)

    @property
    def warned(self) -> int | None:
        """The step at which the fault was first told."""
        return min((f["detected_step"] for f in self.right), default=None)

    @cached_property
    def harm(self) -> Harm:
        """When it began to do harm."""
        mine, theirs = self.outcome.losses, [twin.losses for twin in self.twins]
        losses = [
            (curve, [twin.get(where, Curve(np.empty(0), np.empty(0))) for twin in theirs])
            for where, curve in mine.items()
        ]
        metric = (self.outcome.metric, [twin.metric for twin in self.twins])
        found = harm(losses, metric, broke=self.outcome.exception is not None, steps=self.outcome.steps)
        if found.by != "metric" or found.step is None:
            return found
        return replace(found, step=self.outcome.recorded(found.step))  # beside the twin's they are the script's own

    @property
    def harmed(self) -> bool:
        """Whether the script's own number came out worse than the twin's: what the corpus promises of it."""
        return not no_worse(self.outcome.badness, [twin.badness for twin in self.twins])

    @property
    def lead(self) -> int | None:
        """Steps from the warning to the harm; None where there was no warning or no harm."""
        return None if self.warned is None or self.harm.step is None else self.harm.step - self.warned

    @property
    def late(self) -> bool:
        """Whether the harm leaves time for a warning."""
        return self.harm.step is not None and self.harm.step > LATE

    @property
    def early(self) -> bool:
        """Whether the warning came well ahead of the harm."""
        return self._well_ahead(self.warned)

    @property
    def foreseeable(self) -> bool:
        """Whether a warning could have come well ahead: there was a warning, or the fault had moved a loss by then.

        Where every loss is the twin's until just before the harm, nothing that a run shows tells the two apart.
        """
        twin = self.twins[0].losses if self.twins else {}
        moved = [parts(curve, twin[where]) for where, curve in self.outcome.losses.items() if where in twin]
        return self.early or self._well_ahead(min(moved, default=0))

    def _well_ahead(self, step: float | None) -> bool:
        harmed = self.harm.step
        return None not in (step, harmed) and harmed - step >= min(AHEAD, SHARE * harmed)


@dataclass(frozen=True)
class Score:
    """The score of a part of the corpus.

    Attributes
    ----------
    patients : the faulty scripts
    healthy : the runs of scripts that never had a fault
    twins : the runs of repaired scripts, all seeds
    troubles : runs that told nothing, with the reason; they are in none of the others
    """

    patients: tuple[Patient, ...]
    healthy: tuple[tuple[str, Case, Outcome], ...]
    twins: tuple[tuple[str, Case, Outcome], ...]
    troubles: tuple[str, ...] = ()

    @property
    def recall(self) -> tuple[int, int]:
        """Faulty scripts whose fault was found, of all."""
        return sum(p.found for p in self.patients), len(self.patients)

    @property
    def rank_one(self) -> tuple[int, int]:
        """Faulty scripts with a right rank 1, of all."""
        return sum(p.named for p in self.patients), len(self.patients)

    @property
    def by_id(self) -> dict[str, tuple[int, int, int]]:
        """Condition → found, right at rank 1, of how many."""
        groups: dict[str, list[Patient]] = {}
        for patient in self.patients:
            groups.setdefault(patient.case.condition, []).append(patient)
        return {
            id: (sum(p.found for p in group), sum(p.named for p in group), len(group))
            for id, group in sorted(groups.items())
        }

    @property
    def confusion(self) -> Counter[tuple[str, str]]:
        """(condition, rank 1) → scripts. An accepted id counts as the condition."""
        return Counter((p.case.condition, p.case.condition if p.named else p.first) for p in self.patients)

    @property
    def false_alarms(self) -> tuple[Told, ...]:
        """Every finding above info in a healthy script."""
        return _alarms(self.healthy)

    @property
    def twin_alarms(self) -> tuple[Told, ...]:
        """Every finding above info in a repaired script."""
        return _alarms(self.twins)

    @property
    def alarmed(self) -> tuple[int, int]:
        """Healthy runs with a false alarm, of all."""
        return sum(bool(outcome.serious) for _, _, outcome in self.healthy), len(self.healthy)

    @property
    def twins_alarmed(self) -> tuple[int, int]:
        """Runs of twins with a false alarm, of all."""
        return sum(bool(outcome.serious) for _, _, outcome in self.twins), len(self.twins)

    @property
    def ahead(self) -> tuple[int, int]:
        """Scripts with late harm that were warned of it well ahead, of those with late harm."""
        late = [p for p in self.patients if p.late]
        return sum(p.early for p in late), len(late)

    @property
    def foreseen(self) -> tuple[int, int]:
        """The same, of those in which the fault itself shows well ahead."""
        return self.ahead[0], sum(p.late and p.foreseeable for p in self.patients)

    @property
    def infos(self) -> tuple[int, int]:
        """Info-only ids that headers list and runs told, of those listed: apart from recall."""
        listed = [(id, outcome) for _, case, outcome in (*self.healthy, *self.twins) for id in case.infos]
        told = sum(any(f["id"] == id for f in outcome.findings) for id, outcome in listed)
        return told, len(listed)

    @property
    def harmless(self) -> tuple[str, ...]:
        """Faulty scripts that do not keep what the corpus promises: their number is as good as the twin's."""
        return tuple(p.case.name for p in self.patients if not p.harmed and not p.case.latent)

    @property
    def precision(self) -> dict[str, tuple[int, int]]:
        """Id → scripts in which it was right above info, of those in which it was told above info."""
        told: dict[str, dict[tuple[str, str], bool]] = {}
        for patient in self.patients:
            for finding in patient.outcome.serious:
                good = finding["id"] in patient.case.accepts + patient.case.allows
                told.setdefault(finding["id"], {})["faulty", patient.case.name] = good
        for _, case, outcome in (*self.healthy, *self.twins):
            for finding in outcome.serious:
                told.setdefault(finding["id"], {})[case.kind, case.name] = False
        return {id: (sum(scripts.values()), len(scripts)) for id, scripts in sorted(told.items())}

    @property
    def overhead(self) -> dict[str, np.ndarray]:
        """What watching cost, each a value a run: ``steady`` share of step time, seconds of the rest."""
        runs = [*(p.outcome for p in self.patients), *(outcome for _, _, outcome in (*self.healthy, *self.twins))]
        keys = ("steady", "startup_s", "credit_s", "closing_s")
        return {
            key: np.array([run.overhead[key] for run in runs if run.overhead.get(key) is not None], dtype=float)
            for key in keys
        }

    @property
    def steps(self) -> int:
        """The steps of all runs."""
        return sum(p.outcome.steps for p in self.patients) + sum(o.steps for _, _, o in (*self.healthy, *self.twins))


def score(outcomes: Mapping[tuple[str, str, int], tuple[Case, Outcome]]) -> Score:
    """The score of runs.

    Parameters
    ----------
    outcomes : (kind, name, seed) → the case and its run; a run in trouble is told, and with it a faulty script whose
        twin is.
    """
    troubles = [
        f"{kind}/{name} seed {seed}: {o.trouble}" for (kind, name, seed), (_, o) in outcomes.items() if o.trouble
    ]
    well = {key: value for key, value in outcomes.items() if value[1].trouble is None}
    patients: list[Patient] = []
    healthy: list[tuple[str, Case, Outcome]] = []
    twins: list[tuple[str, Case, Outcome]] = []
    for (kind, name, seed), (case, outcome) in well.items():
        if kind == "faulty":
            pair = [o for (k, n, _), (_, o) in outcomes.items() if k == "twins" and n == name]
            if all(o.trouble is None for o in pair):
                patients.append(Patient(case, outcome, tuple(pair)))
        else:
            (healthy if kind == "healthy" else twins).append((f"{kind}/{name} seed {seed}", case, outcome))
    return Score(tuple(patients), tuple(healthy), tuple(twins), tuple(troubles))


def part(outcomes: Mapping[tuple[str, str, int], tuple[Case, Outcome]], held_out: bool) -> Score:
    """The score of the tuned or of the held-out part of the runs."""
    return score({key: value for key, value in outcomes.items() if value[0].held_out == held_out})


def _alarms(runs: Sequence[tuple[str, Case, Outcome]]) -> tuple[Told, ...]:
    return tuple((name, f["id"], f["rank"], f["detected_step"]) for name, _, outcome in runs for f in outcome.serious)
