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
from surefoot.findings.rules.game_cures import FLAT_CRITIC, cures_of_a_game, cures_of_collapse, searched, two_rates
from surefoot.findings.rules.going_off import goes_off
from surefoot.findings.rules.leaving import leaves
from surefoot.findings.rules.one_sided import one_sided
from surefoot.findings.stretches import unbroken_from
from surefoot.runs.schema import SEVERITIES, Evidence, Remedy, Severity

SAME_NOISE = Remedy(
    name="noise of one size for ever",
    why="samples differ by their noise: where that shrinks they become one",
    how=(
        "# after: model\n"
        "def unit(noise):  # in front of the generator, in the place of what shrinks it\n"
        "    return noise / noise.std().clamp_min(1e-6)\n"
    ),
)
_LOOKS = 4
_WANDERS = 6
_STEPS = 100  # any generator begins with samples that are all alike; so long it may stay so
# Healthy games wander and cover little at first. It is held against a run once both players have moved by ten times
# their own size in all (Σ ‖Δθ‖/‖θ‖, as for `stalled`: what was going to be learned at this rate has had its chance) and
# the newest half of the looks covers no more than the looks before.
_MOVED = 10.0
_SAMPLES = 128  # of which coverage is measured, so that it is uncertain by √(c (1 − c)/128)
_COHERENT, _TURNS, _IN_PLANE, _LASTS, _BOTH = 0.9, 1.0, 0.5, 0.8, 0.2
_TURNING = {"turns": _TURNS, "coherence": _COHERENT, "share": _IN_PLANE, "growth": _LASTS, "balance": _BOTH}
_ONE_LINE = 0.5  # of a loss's variance in three neighbouring lines; noise has a third there at the very most
_MUCH_OF_THE_RUN = 0.25
_SPREAD = 0.1  # of the data's: less is one point in all but name
_COVERAGE = 0.3  # where one distribution makes both, 0.97 is expected (k = 5), whatever the distribution
_MOVE = 0.5  # of the data's spread; the mean of 128 samples of one distribution moves by √(2/128) = 0.125
_HALF = 0.7  # of the data's spread: half of their variance
_OUTSIDE = 1.0  # of it: so far from the mean of the data most of them are not
_LESS = 0.75  # of the most that was covered
_ARRIVED = 0.5  # of the data's spread from their mean: there a sample is as near to the data as most of the data are


@rule("mode-collapse", needs=("game", "players", "weights"))
def mode_collapse(history: History) -> Sign | None:
    """Generated samples are all alike, or all of a few kinds, at the last four looks and for half of the run.

    All alike: they spread less than a tenth as far as the data does, though their mean has moved by more than half of
    the data's spread (so that it is no generator that has not begun): critical after 300 steps; after 100 where their
    mean has come to that of the data (at two looks), so that only more spread could win, and by its growth over the
    newest half and quarter of the run their spread would not be a tenth at twice the steps either. Of a few kinds: they
    come near less than three tenths of the data while half of them at least are near some of it: warning once the game
    has had its chance (both players moved by ten times their own size, and coverage has stopped to grow). Alike, and
    elsewhere at each look: see :func:`_hopping`. Gone from the data: see ``leaving.py``. Against a critic that stands
    still: see ``one_sided.py``. Of noise that fades: see :func:`_fading`.
    """
    for name in history.wheres("generated_spread"):
        steps, spread = history.measured("generated_spread", name)
        if len(steps) < _LOOKS or steps[-1] != history.step or history.step < _STEPS:
            continue
        _, offset = history.measured("generated_offset", name)
        arrived = len(offset) == len(steps) and bool((offset[-2:] <= _ARRIVED).all())
        stays = arrived and at_twice_by_power(steps, spread)[1] < _SPREAD
        begins = history.step < 3 * _STEPS
        _, coverage = history.measured("coverage", name)
        _, precision = history.measured("precision", name)
        _, moves = history.measured("generated_move", name)
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
            cures = cures_of_collapse(history, float(spread[-1]))
            return Sign("critical", cause, (evidence,), (name,) if name else (), began, cures)
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
            had_its_chance = _had_its_chance(history, coverage)
            if not had_its_chance and (sign := _hopping(history, name)) is not None:
                return sign
            grade: Severity = "warning" if had_its_chance else "info"
            return Sign(grade, cause, (evidence,), (name,) if name else (), began, cures_of_collapse(history))
        sign = leaves(history, name) or _hopping(history, name) or _fading(history, name)
        if sign is not None:
            return sign
    return one_sided(history)


def _fading(history: History, name: str) -> Sign | None:
    """What enters the generator has shrunk to a third of what it was, look by look, and with it what its samples cover,
    to three quarters of the most: samples differ by what they are made from, and by nothing else."""
    _, coverage = history.measured("coverage", name)
    if len(coverage) < _WANDERS or not coverage[-1] <= _LESS * coverage.max() or coverage.max() < _COVERAGE:
        return None
    for layer in history.wheres("input_rms"):
        steps, sizes = history.measured("input_rms", layer)
        if not layer.startswith(f"{name}.") or len(sizes) < _WANDERS:
            continue
        newest = sizes[-_WANDERS:]
        if not (0 < sizes[-1] <= sizes[0] / 3 and (np.diff(newest) < 0).all()):
            continue
        evidence = (
            Evidence("input_rms", layer, int(steps[-1]), float(sizes[-1]), float(sizes[0] / 3),
                     "a third of what it was at first; and less at each of six looks"),
            Evidence("coverage", name, history.step, float(coverage[-1]), _LESS * float(coverage.max()),
                     "three quarters of the most that it was"),
        )  # fmt: skip
        cause = (
            f"the noise that the generator is given fades, from {sizes[0]:.3g} to {sizes[-1]:.3g}, and its samples "
            f"become alike: they cover {100 * coverage[-1]:.0f} % of the data, and covered up to "
            f"{100 * coverage.max():.0f} %."
        )
        began = int(steps[int(np.flatnonzero(sizes >= sizes[0] / 2)[-1])])
        return Sign("warning", cause, evidence, (name,), began, (SAME_NOISE, *cures_of_collapse(history)))
    return None


def _hopping(history: History, name: str) -> Sign | None:
    """Samples that have less than half of the data's variance and go about it together: the generator follows what the
    discriminator likes at the moment, and has left it before that was unlearned."""
    found = _ways(history, name)
    if found is None:
        return None
    steps, moves, coverage = found
    spread = _few(history, name, steps)
    if not spread or not (_lost_its_way(history, name, coverage) or _far_off(history, name, moves, coverage)):
        return None
    evidence = (
        Evidence("generated_spread", name, int(steps[-1]), spread, _HALF,
                 "median of six looks; half of the data's variance, 0.7 of its spread, is a part of it at most"),
        Evidence("coverage", name, int(steps[-1]), float(coverage.max()), _COVERAGE,
                 "one distribution on both sides gives 0.97 (Naeem et al. 2020)"),
    )  # fmt: skip
    cause = (
        f"the generator makes few kinds of samples at a time: they spread {spread:.2g} times as far as the "
        f"data, jump about by {np.median(moves):.2g} of its spread between looks, and never cover more than "
        f"{100 * coverage.max():.0f} % of it."
    )
    where = (name,) if name else ()
    return Sign("warning", cause, evidence, where, int(steps[0]), searched(two_rates(history), FLAT_CRITIC))


@rule("adversarial-rotation", needs=("game", "rotation", "events", "printed"))
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
      moved by more than half of the data's spread between looks (half of the looks at least);
    * they turned at some look, and what the script prints of the game got worse than at first; see ``going_off.py``.

    Warning where the data are not covered meanwhile (less than three tenths of them at each of the last six looks, once
    the game has had its chance; of a cycle, at one of them; or where coverage is not known), or where the samples go
    round the data or wander about, and are off them, no nearer than before: by 0.7 of their spread, which is half of
    their variance, in the median of six looks, and by all of it where they wander. Else info. Not where one of the
    players stands still, which is ``mode-collapse``.
    """
    if one_sided(history) is not None:
        return None  # it takes two to go round
    for name in history.wheres("generated_move") or ("",):
        signs = [sign for shows in (_cycling, _turning, _wandering) if (sign := shows(history, name)) is not None]
        if signs:
            return max(signs, key=lambda sign: SEVERITIES.index(sign.severity))
    return goes_off(history, _TURNING)


def _cycling(history: History, name: str) -> Sign | None:
    if len(history.losses) < 2 or not history.wheres("rotation_turns"):
        return None
    found: dict[str, Cycle] = {}
    began = history.step
    for player in history.losses:
        steps, losses = history.measured("loss", player)
        if len(steps) < 2 or steps[-1] - steps[0] < _MUCH_OF_THE_RUN * history.step:
            return None
        cycle = strongest_cycle(steps, losses, PERIODS - 1)
        if cycle is None or cycle.share < _ONE_LINE or cycle.lasts < _LASTS:
            return None
        found[player], began = cycle, min(began, int(steps[0]))
    few, many = min(c.periods for c in found.values()), max(c.periods for c in found.values())
    if few < PERIODS and not (many >= PERIODS and min(abs(many - few), abs(many - 2 * few)) <= 1):
        return None
    _, coverage = history.measured("coverage", name)
    lost = not len(coverage) or bool((coverage[-_WANDERS:] < _COVERAGE).any() and _had_its_chance(history, coverage))
    lost = lost or _off(history, name)
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
    return Sign(severity, cause, evidence, (name,) if name else (), began, cures_of_a_game(history, period))


def _turning(history: History, name: str) -> Sign | None:
    rows = {signal: history.series(f"rotation_{signal}") for signal in _TURNING}
    steps, turns = rows["turns"]
    if not len(steps) or steps[-1] != history.step or any(len(at) != len(steps) for at, _ in rows.values()):
        return None
    holds = np.all([values >= _TURNING[signal] for signal, (_, values) in rows.items()], axis=0)
    # healthy games turn, too, before they have found each other: for some looks, and not for half of the run
    began = stretch(steps, holds)
    if began is None:
        return None
    _, coverage = history.measured("coverage", name)
    lost = not len(coverage) or bool((coverage[-_WANDERS:] < _COVERAGE).all()) or _off(history, name)
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
    return Sign(severity, cause, evidence, (name,) if name else (), began, cures_of_a_game(history, period))


def _wandering(history: History, name: str) -> Sign | None:
    found = _ways(history, name)
    if found is None:
        return None
    steps, moves, coverage = found
    evidence = Evidence("generated_move", name, int(steps[-1]), float(np.median(moves)), _MOVE,
                        "that of a settled generator moves by √(2/128) = 0.125")  # fmt: skip
    covered = Evidence("coverage", name, int(steps[-1]), float(coverage.max()), _COVERAGE,
                       "one distribution on both sides gives 0.97 (Naeem et al. 2020)")  # fmt: skip
    cause = (
        f"the two players go in circles: between looks the generated samples move by {np.median(moves):.2g} "
        f"of the data's spread, and never cover more than {100 * coverage.max():.0f} % of the data."
    )
    lost = _lost_its_way(history, name, coverage) or _off(history, name, _OUTSIDE)
    lost = lost and not _few(history, name, steps) and leaves(history, name) is None
    severity: Severity = "warning" if lost else "info"
    where = (name,) if name else ()
    return Sign(severity, cause, (evidence, covered), where, int(steps[0]), cures_of_a_game(history))


def _ways(history: History, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Steps, moves and coverage of the last six looks that are far apart, where they are half of the run and the
    samples wander: by half of the data's spread from one of them to the next."""
    steps, moves = history.measured("generated_move", name)
    at, coverage = history.measured("coverage", name)
    coverage = coverage[np.isin(at, steps)]
    if len(steps) < _WANDERS or len(coverage) != len(steps) or steps[-1] != history.step or history.step < _STEPS:
        return None
    last = _far(history, steps)[-_WANDERS:]
    if len(last) < _WANDERS or 2 * steps[last[0]] > history.step or not np.median(moves[last]) > _MOVE:
        return None
    return steps[last], moves[last], coverage[last]


def _far(history: History, steps: np.ndarray) -> list[int]:
    """Which looks are far from the one before: of looks in a row (a burst) the moves are short, steps and not ways."""
    return [i for i in range(len(steps)) if i == 0 or steps[i] - steps[i - 1] >= max(8, history.step // 64)]


def _few(history: History, name: str, steps: np.ndarray) -> float:
    """Median spread of the samples at these looks, if they have less than half of the data's variance; else 0."""
    at, spread = history.measured("generated_spread", name)
    middle = float(np.median(spread[np.isin(at, steps)]))
    return middle if middle < _HALF else 0.0


def _lost_its_way(history: History, name: str, coverage: np.ndarray) -> bool:
    """The samples cover next to nothing at each look of :func:`_ways`, and the game has had its chance."""
    return bool((coverage < _COVERAGE).all()) and _had_its_chance(history, history.measured("coverage", name)[1])


def _far_off(history: History, name: str, moves: np.ndarray, coverage: np.ndarray) -> bool:
    """They cover no more, and it is not too early to say so for they move by the whole width of the data from look to
    look, as in a game that comes near to it they do in the first steps only."""
    late = history.step >= 3 * _STEPS and np.median(moves) > 2 * _MOVE
    return bool(late and (coverage < _COVERAGE).all()) and _never_enough(history.measured("coverage", name)[1])


def _off(history: History, name: str, least: float = _HALF) -> bool:
    """The mean of the samples is off that of the data (by half of the data's variance, if nothing else is said): at
    most of the last six looks, in a game that is a hundred steps old, and it comes no nearer."""
    steps, offset = history.measured("generated_offset", name)
    late = [offset[i] for i in _far(history, steps) if steps[i] > _STEPS][-_WANDERS:]
    if len(late) < _WANDERS or np.median(late) < least:
        return False
    return bool(np.median(late[_WANDERS // 2 :]) >= _HALF * np.median(late[: _WANDERS // 2]))


def _had_its_chance(history: History, coverage: np.ndarray) -> bool:
    """Both players have moved far, and what the generated samples cover of the data has stopped to grow."""
    moved = [pace.movement >= _MOVED for pace in history.paces.values()]
    return bool(moved) and all(moved) and (_no_longer_grows(coverage) or _late_half_no_better(history))


def _late_half_no_better(history: History) -> bool:
    """The newest half of the run covers no more than was covered before. Looks are dense at first, so that the newer
    half of them begins early: what was best there may be long ago."""
    for name in history.wheres("coverage"):
        steps, coverage = history.measured("coverage", name)
        late = 2 * steps > history.step
        if late.sum() < _LOOKS or late.all() or coverage[late].max() > coverage[~late].max():
            return False
    return bool(history.wheres("coverage"))


def _no_longer_grows(coverage: np.ndarray) -> bool:
    before, now = _halves(coverage)
    return bool(before and now <= before + 2 * np.sqrt(before * (1 - before) / _SAMPLES))


def _never_enough(coverage: np.ndarray) -> bool:
    """It has stopped to grow, or as often again as it did would not be enough."""
    before, now = _halves(coverage)
    return _no_longer_grows(coverage) or bool(before and now * now / before < _COVERAGE)


def _halves(coverage: np.ndarray) -> tuple[float, float]:
    """The most in the older and in the newer half of the looks; zeros where there are not two."""
    half = len(coverage) // 2
    return (max(float(coverage[:half].max()), 1 / _SAMPLES), float(coverage[half:].max())) if half else (0.0, 0.0)


def stretch(steps: np.ndarray, holds: np.ndarray, looks: int = _LOOKS) -> int | None:
    """First step of the newest unbroken stretch, if it has so many looks and is half of the run; else None."""
    first = unbroken_from(holds)
    if len(steps) - first < looks or 2 * steps[first] > steps[-1]:
        return None
    return int(steps[first])
