"""``mode-collapse`` and ``adversarial-rotation``: samples that are all alike, players that go round and round.

In a game nothing falls: losses of a healthy GAN go up and down, so that no level of a loss says anything. Samples are
compared with data, in the data's own units: how far they spread, which share of the data they come near to, how far
their mean moves from look to look. A loss tells of a game in one case only: where it is a sinusoid that does not die.
"""

from __future__ import annotations

import numpy as np

from surefoot.findings.cycles import PERIODS, Cycle, strongest_cycle
from surefoot.findings.foresight import at_twice_by_power
from surefoot.findings.history import History
from surefoot.findings.rule import Sign, rule
from surefoot.findings.rules.inputs import SMALL, STANDARDISE
from surefoot.runs.schema import Evidence, Remedy, Severity

_LOOKS = 4
_WANDERS = 6
_STEPS = 100  # any generator begins with samples that are all alike; so long it may stay so
# Healthy games wander and cover little at first. It is held against a run once both players have moved by ten times
# their own size in all (Σ ‖Δθ‖/‖θ‖, as for `stalled`: what was going to be learned at this rate has had its chance) and
# the newest half of the looks covers no more than the looks before.
_MOVED = 10.0
_SAMPLES = 128  # of which coverage is measured, so that it is uncertain by √(c (1 − c)/128)
_COHERENT, _TURNS, _IN_PLANE, _LASTS, _BOTH = 0.9, 1.0, 0.5, 0.8, 0.2
_ONE_LINE = 0.5  # of a loss's variance in three neighbouring lines; noise has a third there at the very most
_MUCH_OF_THE_RUN = 0.25
_SPREAD = 0.1  # of the data's: less is one point in all but name
_COVERAGE = 0.3  # where one distribution makes both, 0.97 is expected (k = 5), whatever the distribution
_MOVE = 0.5  # of the data's spread; the mean of 128 samples of one distribution moves by √(2/128) = 0.125
_ARRIVED = 0.5  # of the data's spread from their mean: there a sample is as near to the data as most of the data are
TWO_RATES = Remedy(
    name="a slower generator",
    why="a discriminator that has time to follow tells the generator of all the data, not of what it lacks just now",
    how=(
        "# after: optimizer\n"
        "for group in optimizer.param_groups:  # of the generator's optimizer\n"
        '    group["lr"] /= 4\n'
    ),
)
NO_MOMENTUM = Remedy(
    name="less momentum",
    why="in a game the gradient turns as one moves; what is remembered of it points out of the circle",
    how=(
        "# after: optimizer\n"
        "for group in optimizer.param_groups:\n"
        '    if "momentum" in group:\n'
        '        group["momentum"] = 0.0\n'
        '    if "betas" in group:\n'
        '        group["betas"] = (0.0, group["betas"][1])\n'
        '    group["lr"] /= 4\n'
    ),
)
CANCEL_DRIFT = Remedy(
    name="surefoot.optim.DriftCancellingGame",
    why=(
        "takes away what steps of finite length add to each player's gradient by way of the other's, and past 1 a "
        "damping comes in its place: the spiral outward turns inward"
    ),
    how=(
        "# after: optimizer\n"
        "from surefoot.optim import DriftCancellingGame\n"
        "def cancelling(first_loss, second_loss, first, second, lr=0.1, cancel=4.0):\n"
        "    # losses are functions of a batch; game.step(batch) takes the place of both players' backward and step\n"
        "    players = first.parameters(), second.parameters()\n"
        "    return DriftCancellingGame(first_loss, second_loss, *players, lr, lr, cancel=cancel)\n"
    ),
)
FLAT_CRITIC = Remedy(
    name="surefoot.losses.gradient_penalty",
    why="a critic that is kept flat at its own inputs pulls both players to the equilibrium, and not around it",
    how=(
        "# after: optimizer\n"
        "from surefoot.losses import gradient_penalty\n"
        "def penalised(loss, critic, *inputs):  # critic_loss = penalised(critic_loss, critic, real, fake)\n"
        "    inputs = [x.detach().requires_grad_() for x in inputs]\n"
        "    return loss + sum(gradient_penalty(critic(x), x) for x in inputs) / len(inputs)\n"
    ),
    apply="gradient-penalty",
)


def look_ahead(period: float) -> Remedy:
    """Steps along the gradient as it will be after half a radian of its turning; noise grows with that, so not beyond
    ten steps."""
    strength = float(f"{min(10.0, max(1.0, period / (4 * np.pi))):.2g}")
    return Remedy(
        name="surefoot.optim.OptimisticGradient",
        why="where the gradient turns, what it will be some steps on leads inwards, and what it is leads round",
        how=(
            "# after: optimizer\n"
            "from surefoot.optim import OptimisticGradient\n"
            'ahead = OptimisticGradient([p for group in optimizer.param_groups for p in group["params"]], '
            f"strength={strength:g})\n"
            "optimizer.register_step_pre_hook(lambda *_: ahead.step())  # of each player's optimizer\n"
        ),
        apply=f"optimism:strength={strength:g}",
    )


@rule("mode-collapse", needs=("game",))
def mode_collapse(history: History) -> Sign | None:
    """Generated samples are all alike, or all of a few kinds, at the last four looks and for half of the run.

    All alike: they spread less than a tenth as far as the data does, though their mean has moved by more than half of
    the data's spread (so that it is no generator that has not begun): critical after 300 steps; after 100 where their
    mean has come to that of the data (at two looks), so that only more spread could win, and by its growth over the
    newest half and quarter of the run their spread would not be a tenth at twice the steps either. Of a few kinds: they
    come near less than three tenths of the data while half of them at least are near some of it: warning once the game
    has had its chance (both players moved by ten times their own size, and coverage has stopped to grow).
    """
    for name in history.wheres("generated_spread"):
        steps, spread = measured(history, "generated_spread", name)
        if len(steps) < _LOOKS or steps[-1] != history.step or history.step < _STEPS:
            continue
        _, offset = measured(history, "generated_offset", name)
        arrived = len(offset) == len(steps) and bool((offset[-2:] <= _ARRIVED).all())
        stays = arrived and at_twice_by_power(steps, spread)[1] < _SPREAD
        begins = history.step < 3 * _STEPS
        _, coverage = measured(history, "coverage", name)
        _, precision = measured(history, "precision", name)
        _, moves = measured(history, "generated_move", name)
        alike = spread < _SPREAD
        began = stretch(steps, alike)
        if began is not None and moves.sum() > _MOVE and (stays or not begins):
            source = "so little spread is one sample in all but name"
            if begins:
                source += ", and by its growth it stays so up to twice the steps"
            evidence = Evidence("generated_spread", name, int(steps[-1]), float(spread[-1]), _SPREAD, source)
            cause = (
                f"the generator makes one sample: its samples spread {spread[-1]:.2g} times as far as the data, and "
                "move as one."
            )
            return Sign("critical", cause, (evidence,), (name,) if name else (), began, _cures_of_collapse(history))
        few = (coverage < _COVERAGE) & (precision >= 0.5)
        whole = len(coverage) == len(steps) == len(precision)
        began = stretch(steps, few) if whole and not begins else None
        if began is not None:
            evidence = Evidence("coverage", name, int(steps[-1]), float(coverage[-1]), _COVERAGE,
                                "one distribution on both sides gives 0.97 (Naeem et al. 2020)")  # fmt: skip
            cause = (
                f"the generator makes a few kinds of samples: {100 * np.median(precision[-_LOOKS:]):.0f} % of them "
                f"are near some of the data, but they cover only {100 * np.median(coverage[-_LOOKS:]):.0f} % of it."
            )
            grade: Severity = "warning" if _had_its_chance(history, coverage) else "info"
            return Sign(grade, cause, (evidence,), (name,) if name else (), began, _cures_of_collapse(history))
    return None


@rule("adversarial-rotation", needs=("game", "rotation", "events"))
def adversarial_rotation(history: History) -> Sign | None:
    """Two players go round and come no nearer. Any of these shows it:

    * each of their losses is a sinusoid (half of the variance in one line of the spectrum, over three periods or more
      and a quarter of the run) that does not die out, in a game whose gradients were seen; see ``cycles.py``. Two
      periods of one are enough where it goes with the other's three, as long or twice as long: what two players that
      go round get is linear in what each does (one frequency) and a product of both (twice that);
    * their gradients turn, for half of the run so far: over 16 looks the joint gradient makes a full turn or more, nine
      tenths of its way in one direction, in a plane that holds half of its energy and that both players have a share
      in, and it gets no shorter. Chance does this once in a thousand looks, a way downhill never;
    * the generated samples wander about the data as one: over the last six looks, and over half of the run, their mean
      moved by more than half of the data's spread between looks (half of the looks at least).

    Warning where the data are not covered meanwhile (less than three tenths of them at each of the last six looks, once
    the game has had its chance; of a cycle, at one of them; or where coverage is not known), else info.
    """
    for name in history.wheres("generated_move") or ("",):
        sign = _cycling(history, name) or _turning(history, name) or _wandering(history, name)
        if sign is not None:
            return sign
    return None


def _cures_of_a_game(history: History, period: float = 0.0) -> tuple[Remedy, ...]:
    """A penalty first where there is a critic: where one player was seen to judge samples that another makes. Else to
    look ahead, where it is known how many steps a turn takes."""
    critic = (FLAT_CRITIC,) if history.wheres("generated_move") else ()
    ahead = (look_ahead(period),) if period > 0 else ()
    return (*critic, *ahead, NO_MOMENTUM, CANCEL_DRIFT, TWO_RATES)


def _cures_of_collapse(history: History) -> tuple[Remedy, ...]:
    """Of a generator whose noise drowned in its biases from the start, to make that heard; else the critic's."""
    unheard = any(
        0 < size <= SMALL for row in history.first_layers("preactivation_scale") for size in row.values.tolist()
    )
    return (*((STANDARDISE,) if unheard else ()), FLAT_CRITIC, TWO_RATES)


def _cycling(history: History, name: str) -> Sign | None:
    if len(history.losses) < 2 or not history.wheres("rotation_turns"):
        return None
    found: dict[str, Cycle] = {}
    began = history.step
    for player in history.losses:
        steps, losses = history.series("loss", player)
        finite = np.isfinite(losses)
        steps = steps[finite]
        if len(steps) < 2 or steps[-1] - steps[0] < _MUCH_OF_THE_RUN * history.step:
            return None
        cycle = strongest_cycle(steps, losses[finite], PERIODS - 1)
        if cycle is None or cycle.share < _ONE_LINE or cycle.lasts < _LASTS:
            return None
        found[player], began = cycle, min(began, int(steps[0]))
    few, many = min(c.periods for c in found.values()), max(c.periods for c in found.values())
    if few < PERIODS and not (many >= PERIODS and min(abs(many - few), abs(many - 2 * few)) <= 1):
        return None
    _, coverage = measured(history, "coverage", name)
    lost = not len(coverage) or bool((coverage[-_WANDERS:] < _COVERAGE).any() and _had_its_chance(history, coverage))
    evidence = tuple(
        Evidence("share of the loss's variance in one line", player, history.step, cycle.share, _ONE_LINE,
                 "noise has no such line (Fisher 1929), and a spiral inward gets shorter")
        for player, cycle in found.items()
    )  # fmt: skip
    period = max(cycle.period for cycle in found.values())
    cause = (
        f"the two players go in circles: their losses swing with a period of {period:.3g} steps, and their swings do "
        f"not die out ({min(cycle.lasts for cycle in found.values()):.2g} of what they were)."
    )
    severity: Severity = "warning" if lost else "info"
    return Sign(severity, cause, evidence, (name,) if name else (), began, _cures_of_a_game(history, period))


def _turning(history: History, name: str) -> Sign | None:
    least = {"turns": _TURNS, "coherence": _COHERENT, "share": _IN_PLANE, "growth": _LASTS, "balance": _BOTH}
    rows = {signal: history.series(f"rotation_{signal}") for signal in least}
    steps, turns = rows["turns"]
    if not len(steps) or steps[-1] != history.step or any(len(at) != len(steps) for at, _ in rows.values()):
        return None
    holds = np.all([values >= least[signal] for signal, (_, values) in rows.items()], axis=0)
    # healthy games turn, too, before they have found each other: for some looks, and not for half of the run
    began = stretch(steps, holds)
    if began is None:
        return None
    _, coverage = measured(history, "coverage", name)
    lost = not len(coverage) or bool((coverage[-_WANDERS:] < _COVERAGE).all())
    coherence, growth = float(rows["coherence"][1][-1]), float(rows["growth"][1][-1])
    evidence = (
        Evidence("rotation_turns", "", int(steps[-1]), float(turns[-1]), _TURNS,
                 "a gradient that leads somewhere does not turn round (Rosca et al. 2021: interaction terms)"),
        Evidence("rotation_coherence", "", int(steps[-1]), coherence, _COHERENT, "noise turns both ways"),
        Evidence("rotation_growth", "", int(steps[-1]), growth, _LASTS, "a spiral inward gets shorter"),
    )  # fmt: skip
    cause = (
        f"the two players go in circles: over the last 16 looks the gradient of both made {turns[-1]:.2g} turns, all "
        f"in one direction, and became {growth:.2g} times as long: no step brings them nearer to an equilibrium."
    )
    period = float(steps[-1] - steps[max(0, len(steps) - 16)]) / float(turns[-1])
    severity: Severity = "warning" if lost else "info"
    return Sign(severity, cause, evidence, (name,) if name else (), began, _cures_of_a_game(history, period))


def _wandering(history: History, name: str) -> Sign | None:
    steps, moves = measured(history, "generated_move", name)
    at, coverage = measured(history, "coverage", name)
    coverage = coverage[np.isin(at, steps)]
    if len(steps) < _WANDERS or len(coverage) != len(steps) or steps[-1] != history.step or history.step < _STEPS:
        return None
    # of looks in a row (a burst) the moves are short: they are steps, not ways
    far = [i for i in range(len(steps)) if i == 0 or steps[i] - steps[i - 1] >= max(8, history.step // 64)]
    last = far[-_WANDERS:]
    if len(last) < _WANDERS or 2 * steps[last[0]] > history.step or not np.median(moves[last]) > _MOVE:
        return None
    lost = (coverage[last] < _COVERAGE).all() and _had_its_chance(history, coverage)
    evidence = Evidence("generated_move", name, int(steps[last[-1]]), float(np.median(moves[last])), _MOVE,
                        "that of a settled generator moves by √(2/128) = 0.125")  # fmt: skip
    covered = Evidence("coverage", name, int(steps[last[-1]]), float(coverage[last].max()), _COVERAGE,
                       "one distribution on both sides gives 0.97 (Naeem et al. 2020)")  # fmt: skip
    cause = (
        f"the two players go in circles: between looks the generated samples move by {np.median(moves[last]):.2g} "
        f"of the data's spread, and never cover more than {100 * coverage[last].max():.0f} % of the data."
    )
    severity: Severity = "warning" if lost else "info"
    where = (name,) if name else ()
    return Sign(severity, cause, (evidence, covered), where, int(steps[last[0]]), _cures_of_a_game(history))


def _had_its_chance(history: History, coverage: np.ndarray) -> bool:
    """Both players have moved far, and what the generated samples cover of the data has stopped to grow."""
    moved = [pace.movement >= _MOVED for pace in history.paces.values()]
    half = len(coverage) // 2
    if not moved or not all(moved) or not half:
        return False
    before = max(float(coverage[:half].max()), 1 / _SAMPLES)
    return bool(coverage[half:].max() <= before + 2 * np.sqrt(before * (1 - before) / _SAMPLES))


def measured(history: History, signal: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a signal at the looks that have it."""
    steps, values = history.series(signal, where)
    seen = np.isfinite(values)
    return steps[seen], values[seen]


def stretch(steps: np.ndarray, holds: np.ndarray, looks: int = _LOOKS) -> int | None:
    """First step of the newest unbroken stretch, if it has so many looks and is half of the run; else None."""
    broken = np.flatnonzero(~holds)
    first = int(broken[-1]) + 1 if len(broken) else 0
    if len(steps) - first < looks or 2 * steps[first] > steps[-1]:
        return None
    return int(steps[first])
