"""What ``surefoot run`` was asked to do. Loaded before the user's script, so only the standard library is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from surefoot.apply.settings import Choice


@dataclass(frozen=True)
class RunOptions:
    """One ``surefoot run``, as its command line says.

    Attributes
    ----------
    script : the script's path as it was given, or the module's name after ``-m``
    argv : the script's own arguments
    out : the run's folder, absolute; None for the default, ``surefoot-runs/<script>-<time>``
    budget : share of the steps' time that watching may cost, above 0 and at most 1
    look_every : look at every ``look_every``-th step, whatever it costs; None keeps to the budget
    look : the one means of looking to use; None takes the first that serves
    resume : folder of the run whose record is continued, absolute; None for a new record
    home : the working directory at the start: a script may change it before it imports torch
    quiet : print no diagnosis at the end
    report : write ``report.html`` at the end
    ignore : findings that are not to be told, as ``ID`` or ``ID@module``
    stop_on : what ends the run: ``"critical"`` or findings' ids, with commas between; None for nothing
    rules : modules or files (absolute) to import for the user's own rules
    keep_samples : store the few rows of the script's inputs that a finding may name
    apply : remedies to put in place
    at_init : ``surefoot inspect --at-init``: look at the first step and end the script before it is taken
    """

    script: str
    argv: tuple[str, ...] = ()
    out: str | None = None
    budget: float = 0.02
    look_every: int | None = None
    look: Literal["hooks", "borrow", "replay"] | None = None
    resume: str | None = None
    home: str = "."
    quiet: bool = False
    report: bool = True
    ignore: tuple[str, ...] = ()
    stop_on: str | None = None
    rules: tuple[str, ...] = ()
    keep_samples: bool = False
    apply: tuple[Choice, ...] = ()
    at_init: bool = False
