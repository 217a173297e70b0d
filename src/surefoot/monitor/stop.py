"""Ends a run: after a step, once something was found that it was told to stop on, or before its first step."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from surefoot.observe.observer import Observer
from surefoot.observe.patches import closure_in, followed, with_closure
from surefoot.runs.schema import Finding

EXIT_CODE = 3
JUDGE_EVERY = 0.25  # seconds; a judgement costs a commit of the record, a millisecond or two


class TrainingStopped(SystemExit):
    """Raised by ``optimizer.step()`` when a finding of ``stop_on`` is there: the process ends with exit code 3.

    It is a ``SystemExit``, so that a script's ``except Exception`` does not swallow it, its ``finally`` is run, and no
    traceback is printed. If it is caught all the same, it comes again at the end of the next step.

    Attributes
    ----------
    finding : what it was stopped on
    step : after which step
    """

    def __init__(self, finding: Finding, step: int) -> None:
        super().__init__(EXIT_CODE)
        self.finding, self.step = finding, step

    def __str__(self) -> str:
        return f"stopped after step {self.step:,} on {self.finding.id} ({self.finding.severity})"


class Stopper:
    """Looks at the findings a few times a second, and raises when it is time.

    Parameters
    ----------
    stop_on : ``"critical"`` for any critical finding, or the id of one that stops at warning and above; several with
        commas between them
    observer : whose steps are followed; it has its hooks already, so that ours come after
    findings : gives the findings so far
    say : is told once, in a line, before the first raise
    """

    def __init__(
        self,
        stop_on: str,
        observer: Observer,
        findings: Callable[[], Sequence[Finding]],
        say: Callable[[str], None],
    ) -> None:
        self._stop_on = frozenset(stop_on.split(","))
        self._observer = observer
        self._findings = findings
        self._say = say
        self._next = 0.0
        self._doubled = 1
        self._found: Finding | None = None
        self._home = threading.get_ident()
        self.stopped = False
        self._handle: Any = register_optimizer_step_post_hook(self.after_step)

    def after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """A step is over; raises :class:`TrainingStopped` if it shall be the last."""
        observer = self._observer
        if torch.compiler.is_compiling() or not observer.on or observer.clock.inside_step:
            return
        if threading.get_ident() != self._home:
            return
        step = observer.clock.steps
        now = time.perf_counter()
        if self._found is None and (now >= self._next or step >= self._doubled):
            # Early on after 1, 2, 4, … steps, for a run may be lost long before a quarter of a second is over.
            self._doubled = 2 * max(step, 1)
            self._next = now + JUDGE_EVERY
            observer.catch_up()
            self._found = next(filter(self._stops, self._findings()), None)
        if self._found is not None:
            stop = TrainingStopped(self._found, step)
            if not self.stopped:
                self.stopped = True
                self._say(str(stop))
            raise stop

    def _stops(self, finding: Finding) -> bool:
        if finding.severity == "critical" and "critical" in self._stop_on:
            return True
        return finding.id in self._stop_on and finding.severity != "info"

    def remove(self) -> None:
        """Let the script's steps be."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None


class Inspected(SystemExit):
    """Raised in the place of a run's first step: it was to be looked at and not taken. The process ends with code 0."""

    def __init__(self) -> None:
        super().__init__(0)


def end_before_first_step(observer: Observer, before_end: Callable[[], None] = lambda: None) -> RemovableHandle:
    """Let the first optimiser that is stepped end the run instead, once the look at that step is written.

    Where the script catches that, each further step ends it again: none is ever taken. ``observer`` has its hooks
    already, so that ours come after. ``before_end`` is called once, gradients and weights as the step would have had
    them. Returns what takes the hook away.
    """

    def end(optimizer: Any) -> None:
        if observer.clock.steps < 0:
            observer.end_untaken(optimizer)
            before_end()
        raise Inspected

    def before_step(optimizer: Any, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        if torch.compiler.is_compiling():
            return None
        closure = closure_in(args, kwargs)
        if closure is None:
            end(optimizer)
            return None
        return with_closure(args, kwargs, followed(closure, partial(end, optimizer)))  # it computes the gradient

    return register_optimizer_step_pre_hook(before_step)


def exit_code(error: SystemExit) -> int:
    """The exit code of the process that ends by ``error``."""
    return error.code if isinstance(error.code, int) else 0 if error.code is None else 1


def tell_on_stderr(text: str) -> None:
    """One line on the stderr that the process was started with, whatever the script has put in its place."""
    if sys.__stderr__ is not None:
        try:
            print(f"surefoot: {text}", file=sys.__stderr__, flush=True)
        except (OSError, ValueError):  # closed
            pass
