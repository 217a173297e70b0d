"""What a sweep will run: one command for each combination of the values of its placeholders."""

from __future__ import annotations

import itertools
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from surefoot.sweeps.grid import values

_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")
_PYTHON = re.compile(r"python(\d(\.\d+)?)?")
_RATES = ("lr", "learning_rate", "peak_lr", "max_lr", "base_lr", "eta")
_TAKE_A_VALUE = {"-X", "-W"}  # of python's own options


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes
    ----------
    name : of its folder, made of its values
    values : placeholder to value
    python : the interpreter with its options
    script : the script, or ``-m`` and a module, with all arguments
    """

    name: str
    values: Mapping[str, str]
    python: tuple[str, ...]
    script: tuple[str, ...]

    def command(self, out: str, options: tuple[str, ...] = ()) -> list[str]:
        """What runs it under watch, with its record in ``out``."""
        watched = ("-m", "surefoot", "run", "--out", out, "--no-report", "--quiet", *options)
        return [*self.python, *watched, *self.script]


@dataclass(frozen=True)
class Plan:
    """A sweep.

    Attributes
    ----------
    template : the command with its placeholders
    axes : placeholder to its values
    rate : the placeholder that is the learning rate, "" if there is none
    sizes : placeholders that make the size: all others but ``seed``
    trials : the runs
    """

    template: str
    axes: Mapping[str, tuple[str, ...]]
    rate: str
    sizes: tuple[str, ...]
    trials: tuple[Trial, ...]


def plan(template: str, given: Mapping[str, str]) -> Plan:
    """Lay out a sweep.

    Parameters
    ----------
    template
        A command such as ``python train.py --lr {lr} --width {width}``.
    given
        Values of each placeholder, as :func:`surefoot.sweeps.grid.values` reads them. ``lr`` (or ``learning_rate``,
        ``peak_lr``, ``max_lr``, ``base_lr``, ``eta``) is the learning rate; ``seed`` repeats; the others are the size.

    Raises
    ------
    ValueError
        If a placeholder has no values, values have no placeholder, the command runs no Python script, or the learning
        rates are no positive numbers.
    """
    wanted = list(dict.fromkeys(_PLACEHOLDER.findall(template)))
    if not wanted:
        raise ValueError(f"COMMAND: {template!r} has no placeholder; write one such as --lr {{lr}}")
    given = {name.replace("-", "_"): text for name, text in given.items()}
    missing = [name for name in wanted if name not in given]
    if missing:
        raise ValueError(f"--{missing[0]}: {{{missing[0]}}} has no values; give some, such as --{missing[0]} 1,2,4")
    extra = [name for name in given if name not in wanted]
    if extra:
        raise ValueError(f"--{extra[0]}: there is no {{{extra[0]}}} in the command and no such option")
    axes = {name: values(name, given[name]) for name in wanted}
    rate = next((name for name in _RATES if name in axes), "")
    for value in axes.get(rate, ()):
        if not _positive(value):
            raise ValueError(f"--{rate}: {value!r} is no learning rate; use positive numbers")
    python, script = _split(template)
    trials: dict[str, Trial] = {}
    for combination in itertools.product(*axes.values()):
        chosen = dict(zip(axes, combination, strict=True))
        name = ",".join(f"{axis}={re.sub(r'[^A-Za-z0-9.+-]+', '-', value)}" for axis, value in chosen.items())
        if name in trials:
            raise ValueError(
                f"values: two runs would both be called {name!r}; use values that differ in more than signs"
            )
        words = tuple(_filled(word, chosen) for word in script)
        trials[name] = Trial(name, chosen, python, words)
    return Plan(
        template, axes, rate, tuple(axis for axis in axes if axis not in (rate, "seed")), tuple(trials.values())
    )


def _filled(word: str, chosen: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: chosen[found[1]], word)


def _positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def _split(template: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The interpreter with its options, and the script with its arguments."""
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise ValueError(f"COMMAND: {template!r}: {error}") from None
    first = words[0].rpartition("/")[2]
    if not _PYTHON.fullmatch(first):
        if not words[0].endswith(".py"):
            raise ValueError(f"COMMAND: begins with {words[0]!r}; begin with a script or with python")
        return (sys.executable,), tuple(words)
    # by its bare name python is the one that runs us: another may have no surefoot
    python = [sys.executable if first == words[0] else words[0]]
    rest = words[1:]
    while rest and rest[0].startswith("-") and not rest[0].startswith("-m"):
        taken = 2 if rest[0] in _TAKE_A_VALUE else 1
        python, rest = python + rest[:taken], rest[taken:]
    if not rest:
        raise ValueError(f"COMMAND: {template!r} names no script")
    return tuple(python), tuple(rest)
