"""A game that one player plays alone: a part of ``mode-collapse``.

Against a critic that learns no more the best that a generator can do is to make the samples that it likes best, and
those only (Metz et al. 2017, Unrolled generative adversarial networks, arXiv 1611.02163): nothing tells it that the
others are missing. How far it goes is a matter of time.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.history import History
from surefoot.findings.rule import Sign
from surefoot.runs.schema import Evidence, Remedy

_STEPS, _TIMES, _LOOKS = 64, 16, 2  # that it has stood still; as long as the longest pause before; looks at the other
_SOURCE = "sixteen times its longest pause before, and 64 steps: no turn in which the players take turns"
PLAY_ON = Remedy(
    name="a critic that goes on learning",
    why="a generator is only as good as what tells its samples from the data now: stop both, or neither",
    how="# after: optimizer\n# step the critic in every round in which the generator is stepped\n",
)


def one_sided(history: History) -> Sign | None:
    """One of two players whose samples were seen has stood still for 64 steps, and 16 times as long as ever before,
    while at the last looks the layers of the generator, and no others, were changed."""
    generators = history.wheres("generated_spread")
    for player in history.wheres("idle_steps") if generators else ():
        steps, idle = history.measured("idle_steps", player)
        last = int(steps[-1] - idle[-1]) if len(steps) else 0
        before = idle[steps <= last]
        if len(before) < _LOOKS or idle[-1] < max(_STEPS, _TIMES * before.max()):
            continue
        looks = [row for row in history.recent_layers("update_ratio", _LOOKS) if row.step > last]
        for generator in generators:
            if len(looks) == _LOOKS and all(_alone(generator, row.names, row.values) for row in looks):
                evidence = Evidence("idle_steps", player, int(steps[-1]), float(idle[-1]), float(_STEPS), _SOURCE)
                cause = (
                    f"the generator {generator} plays alone: the other player ({player}) has not been stepped since "
                    f"step {last}, and nothing tells its samples from the data any more."
                )
                where = (generator,) if generator else ()
                return Sign("warning", cause, (evidence,), where, last + 1, (PLAY_ON,))
    return None


def _alone(generator: str, names: tuple[str, ...], values: np.ndarray) -> bool:
    """Only layers of the generator were changed, and all of them."""
    own = np.array([name == generator or name.startswith(f"{generator}.") for name in names])
    return bool(own.any() and not own.all() and np.array_equal(np.isfinite(values), own))
