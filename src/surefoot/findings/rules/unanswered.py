"""A generator that learns nothing more because its judge is never in doubt.

The gradient that a discriminator sends to samples which it knows for certain to be false is proportional to the chance
that it gives them where the loss is log(1 − D), and nothing at all where D is clamped: it vanishes as the discriminator
becomes perfect (Arjovsky & Bottou 2017, Towards Principled Methods for Training Generative Adversarial Networks, arXiv
1701.04862, Theorem 2.4).
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.findings.rules.game_cures import FLAT_CRITIC, NON_SATURATING, searched
from surefoot.runs.schema import Evidence

_STEPS, _LOOKS = 100, 6
_GONE = 2.0**-6  # of its first size: six halvings
_CERTAIN = 0.999  # of the pairs of a sample and a datum that the judge tells apart
_STILL = 2e-5  # of its size a step, as for learning-rate-too-low
_OFF = 1.0  # of the data's spread: there a sample lies where there is no more data
_SOURCE = "of what it was at first: the judge's answer no longer depends on the sample (Arjovsky & Bottou 2017)"


def unanswered(history: History) -> Sign | None:
    """The samples are off the data, and no nearer in the newest half of six looks or more than in the oldest; and the
    gradient of what makes them is a sixty-fourth of its first size, or less. Where the judge was perfect before the
    generator's first step, that first size was next to nothing: then the judge's own gradient is a sixty-fourth of its
    first, it was right at every look, and the generator never moved by more than 2·10⁻⁵ of its size in a step.
    """
    for name in history.wheres("generated_offset"):
        steps, offset = history.measured("generated_offset", name)
        if len(steps) < _LOOKS or history.step < _STEPS or not offset.min() >= _OFF:
            continue
        half = len(offset) // 2
        if np.median(offset[half:]) < 0.9 * np.median(offset[:half]):
            continue  # it comes nearer
        own = _sizes(history, "gradient_rms", name)
        whose, found = f"the generator {name or 'model'}", own
        if not _gone(own) and _certain(history, name):
            whose = f"the generator {name or 'model'} never moved, its discriminator"
            found = _sizes(history, "gradient_rms", name, others=True)
        if not _gone(found):
            continue
        at, left = found[-1][0], found[-1][1] / found[0][1]
        evidence = (
            Evidence("gradient_rms", name, at, left, _GONE, _SOURCE),
            Evidence("generated_offset", name, int(steps[-1]), float(offset[-1]), _OFF,
                     "the means of samples and data differ by the data's whole spread"),
        )  # fmt: skip
        cause = (
            f"{whose} gets {left:.2g} of the gradient that it got at first, and the samples stay "
            f"{np.median(offset[half:]):.2g} times the data's spread away: the discriminator is never in doubt, "
            "and its answer no longer depends on the sample."
        )
        cures = searched(NON_SATURATING, FLAT_CRITIC)
        return Sign("warning", cause, evidence, (name,) if name else (), found[0][0], cures)
    return None


def _gone(sizes: list[tuple[int, float]]) -> bool:
    return len(sizes) >= 2 and sizes[-1][1] <= _GONE * sizes[0][1]


def _certain(history: History, name: str) -> bool:
    """The judge was right at each look, and what makes the samples stood as good as still at each."""
    _, right = history.measured("discriminator_auc", name)
    if len(right) < _LOOKS or not right.min() >= _CERTAIN:
        return False
    weights = dict(_sizes(history, "weight_rms", name))
    moves = [size / weights[step] for step, size in _sizes(history, "update_rms", name) if weights.get(step)]
    return len(moves) >= 2 and max(moves) <= _STILL


def _sizes(history: History, signal: str, name: str, others: bool = False) -> list[tuple[int, float]]:
    """Steps and root mean squares over the layers of one model (or all but it), where it has any."""
    rows = {row.step: row for row in (*history.first_layers(signal), *history.recent_layers(signal, 64))}
    found = []
    for step, row in sorted(rows.items()):
        inside = [(n == name or not name or n.startswith(f"{name}.")) != others for n in row.names]
        values = row.values[np.array(inside, bool)]
        if np.isfinite(values).any():
            found.append((step, float(np.sqrt(np.nanmean(values**2)))))
    return found
