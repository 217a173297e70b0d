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
from surefoot.findings.rules.game_cures import FLAT_CRITIC
from surefoot.runs.schema import Evidence

_STEPS, _LOOKS = 100, 6
_GONE = 2.0**-6  # of its first size: six halvings
_OFF = 1.0  # of the data's spread: there a sample lies where there is no more data
_SOURCE = "of what it was at first: the judge's answer no longer depends on the sample (Arjovsky & Bottou 2017)"


def unanswered(history: History) -> Sign | None:
    """The samples are off the data, and no nearer in the newest half of six looks or more than in the oldest; and the
    gradient of what makes them is a sixty-fourth of its first size, or less."""
    for name in history.wheres("generated_offset"):
        steps, offset = history.measured("generated_offset", name)
        if len(steps) < _LOOKS or history.step < _STEPS or not offset.min() >= _OFF:
            continue
        half = len(offset) // 2
        if np.median(offset[half:]) < 0.9 * np.median(offset[:half]):
            continue  # it comes nearer
        at, sizes = _gradient(history, name)
        if len(sizes) < 2 or not sizes[-1] <= _GONE * sizes[0]:
            continue
        left = float(sizes[-1] / sizes[0])
        evidence = (
            Evidence("gradient_rms", name, int(at[-1]), left, _GONE, _SOURCE),
            Evidence("generated_offset", name, int(steps[-1]), float(offset[-1]), _OFF,
                     "the means of samples and data differ by the data's whole spread"),
        )  # fmt: skip
        cause = (
            f"the generator {name or 'model'} gets {left:.2g} of the gradient that it got at first, and its samples "
            f"stay {np.median(offset[half:]):.2g} times the data's spread away: the discriminator is never in doubt, "
            "and its answer no longer depends on the sample."
        )
        return Sign("warning", cause, evidence, (name,) if name else (), int(at[0]), (FLAT_CRITIC,))
    return None


def _gradient(history: History, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and root mean square over the layers of one model of their gradients, where it has any."""
    rows = {
        row.step: row for row in (*history.first_layers("gradient_rms"), *history.recent_layers("gradient_rms", 64))
    }
    found = []
    for step, row in sorted(rows.items()):
        inside = [n == name or not name or n.startswith(f"{name}.") for n in row.names]
        values = row.values[np.array(inside, bool)]
        if np.isfinite(values).any():
            found.append((step, float(np.sqrt(np.nanmean(values**2)))))
    steps, sizes = zip(*found, strict=True) if found else ((), ())
    return np.array(steps), np.array(sizes)
