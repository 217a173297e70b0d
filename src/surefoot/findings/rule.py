"""What a rule is: a pure function of the history that gives a sign of trouble or None, and how rules are registered."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points

from surefoot.findings.history import History
from surefoot.runs.schema import SEVERITIES, Evidence, Remedy, Severity

ENTRY_POINTS = "surefoot.rules"


@dataclass(frozen=True)
class Sign:
    """What a rule sees at one step.

    ``first_step`` is when the trouble began, where the history shows it (None: now). ``where`` names modules or
    optimisers; unknown stays empty.
    """

    severity: Severity
    cause: str
    evidence: tuple[Evidence, ...]
    where: tuple[str, ...] = ()
    first_step: int | None = None
    remedies: tuple[Remedy, ...] = ()

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity is {self.severity!r}; it must be one of {', '.join(SEVERITIES)}")


Check = Callable[[History], Sign | None]


@dataclass(frozen=True)
class Rule:
    """A finding id, the families of which a new row makes the rule run, and the function.

    A rule ``beside`` another of the same id speaks only while that has told nothing.
    """

    id: str
    needs: tuple[str, ...]
    check: Check
    beside: bool = False


_RULES: dict[str, Rule] = {}
_entry_points_loaded = False


def rule(id: str, needs: tuple[str, ...], beside: bool = False) -> Callable[[Check], Check]:
    """Register a function of the history as the rule for a finding id.

    Parameters
    ----------
    id : the finding id in kebab case; a rule registered again under the same id replaces the former.
    needs : names of the families of which a new row makes the rule run, e.g. ``("step", "gradients")``.
    beside : it does not replace the rule of that id: it speaks while that one has told nothing (but an info).

    Examples
    --------
    >>> from surefoot.findings import History, Sign, rule
    >>> @rule("slow-step", needs=("step",))
    ... def slow_step(history: History) -> Sign | None:
    ...     seconds = history.value("step_time")
    ...     return Sign("info", f"a step takes {seconds:.1f} s", ()) if seconds > 10 else None
    """
    if not isinstance(id, str) or not id or id != id.strip().lower().replace("_", "-"):
        raise ValueError(f"id is {id!r}; it must be a finding id in kebab case such as 'dead-units'")
    if isinstance(needs, str) or not needs or not all(isinstance(n, str) for n in needs):
        raise ValueError(f"needs is {needs!r}; it must be a tuple of family names such as ('gradients',)")

    def register(check: Check) -> Check:
        if not callable(check):
            raise TypeError(f"@rule({id!r}) decorates a {type(check).__name__}; it must decorate a function")
        _RULES[f"{id}, beside" if beside else id] = Rule(id, tuple(needs), check, beside)
        return check

    return register


def all_rules() -> tuple[Rule, ...]:
    """All rules known now: surefoot's own, those a script registered, and those of installed packages.

    Packages offer rules by an entry point of the group ``surefoot.rules`` that names a module (importing it registers
    its rules). One that fails to load is told once on stderr and left out.
    """
    global _entry_points_loaded
    import_module("surefoot.findings.rules")  # registers the built-in ones; not at the top: they import this module

    if not _entry_points_loaded:
        _entry_points_loaded = True
        try:
            points = list(entry_points(group=ENTRY_POINTS))
        except Exception as error:  # a damaged installation must not end a training run
            points = []
            print(f"surefoot: entry points of {ENTRY_POINTS} cannot be read: {error}", file=sys.stderr)
        for point in sorted(points, key=lambda p: p.name):
            try:
                point.load()
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                print(f"surefoot: rules of {point.name!r} ({point.value}) left out: {error!r}", file=sys.stderr)
    return tuple(_RULES.values())
