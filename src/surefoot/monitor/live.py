"""The one session of this process: what ``surefoot run`` and ``surefoot.watch`` start and end."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from surefoot.findings import all_rules
from surefoot.monitor.options import RunOptions
from surefoot.monitor.ranks import rank, shared_folder, world_size
from surefoot.monitor.session import Session, free_folder
from surefoot.monitor.stop import end_before_first_step, tell_on_stderr
from surefoot.monitor.user_rules import load
from surefoot.runs.store import record_path

if TYPE_CHECKING:
    from surefoot.observe.first_forwards import FirstForwards

_session: Session | None = None
_options: RunOptions | None = None  # set when `surefoot run` owns the session
_forwards: FirstForwards | None = None  # of a script that is to end before its first step


def current() -> Session | None:
    """The open session, if any."""
    return _session if _session is not None and not _session.closed else None


def owns_script() -> bool:
    """Whether the open session is that of ``surefoot run``."""
    return _options is not None


def adopt(session: Session) -> None:
    """Make a session that ``watch`` opened the one of this process."""
    global _session
    _session = session


def release(session: Session) -> None:
    """Forget a session that was closed."""
    global _session
    if _session is session:
        _session = None


def start(options: RunOptions) -> None:
    """Begin to watch the script; called once torch has been imported."""
    global _session, _options, _forwards
    begin = time.perf_counter()
    if options.resume is not None:
        folder = Path(options.resume)
    else:
        folder = Path(options.out) if options.out is not None else new_folder(Path(options.home), options.script)
    notes = _load_rules(options.rules)
    notes += unknown([*(e.partition("@")[0] for e in options.ignore), *(options.stop_on or "critical").split(",")])
    for note in notes:
        tell_on_stderr(note)
    _session = Session(
        folder.absolute(),  # the script may change the working directory
        script=options.script,
        argv=options.argv,
        budget=options.budget,
        look_every=options.look_every,
        means=options.look,
        resume=options.resume is not None,
        ignore=options.ignore,
        stop_on=options.stop_on,
        rules=options.rules,
        keep_samples=options.keep_samples,
        apply=options.apply,
        inspected=("--at-init",) if options.at_init else None,
        started=begin,
    )
    if options.at_init:
        from surefoot.observe.first_forwards import FirstForwards  # with the theory of chains, which a run does without

        _forwards = FirstForwards(_session.observer.guard)
        end_before_first_step(_session.observer, partial(_session.observer.guard, "start", _tell_start))
    _options = options
    for note in notes:
        _session.event(0, "note", text=note)


def new_folder(home: Path, script: str) -> Path:
    """A folder for a new run of ``script`` below ``home``; ranks of one run come to the same."""
    runs = home / "surefoot-runs"
    if world_size() > 1:
        return shared_folder(runs, script, record_path(runs, rank()).name)
    return free_folder(runs, script)


def _load_rules(sources: Sequence[str]) -> list[str]:
    """Import the user's rules; what can't be imported is left out and told."""
    notes = []
    for source in sources:
        try:
            load(source)
        except ValueError as error:
            notes.append(f"{error}; they are left out")
    return notes


def unknown(ids: Iterable[str]) -> list[str]:
    """A sentence for each id that no rule has, other than ``critical``."""
    known = {rule.id for rule in all_rules()}
    notes = []
    for id in dict.fromkeys(ids):
        if id not in known and id != "critical":
            close = get_close_matches(id, known, n=1)
            notes.append(f"there is no finding {id!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
    return notes


def save() -> None:
    """Commit what there is: the process is about to end without last words."""
    if _session is not None:
        _session.save()


def _processes_started() -> int:
    """How many processes this one has started by ``multiprocessing``."""
    counter = getattr(sys.modules.get("multiprocessing.process"), "_process_counter", None)
    digits = "".join(filter(str.isdigit, repr(counter)))  # "count(3)"; asking it for the next number would use it up
    return int(digits) - 1 if digits else 0


def _tell_start() -> None:
    """Put what the first forward and backward of the script's model told into the record."""
    from surefoot.monitor.start_facts import start_facts

    found = _forwards.end() if _forwards is not None else None
    if found is not None and _session is not None:
        model, probe = found
        _session.event(0, "start", inputs="", rows="", cotangent=False, **start_facts(probe, model, gradients=True))


def finish(code: int | None, exception: str | None) -> None:
    """The script is over: write diagnosis and report, and tell on stderr."""
    drawn = random.getstate()
    try:
        _finish(code, exception)
    finally:
        random.setstate(drawn)  # rich numbers its styles with it, and handlers of the script's may come after us


def _finish(code: int | None, exception: str | None) -> None:
    session, options = _session, _options
    if session is None or options is None or session.closed:
        return
    taken = session.observer.clock.steps
    if _forwards is not None:
        _forwards.end()
    if options.at_init and taken < 0:
        text = "the script ended before an optimizer of torch.optim was stepped: there was nothing to inspect"
        session.event(0, "note", text=text)
        tell_on_stderr(text)
    others = 0 if taken > 0 or options.at_init else _processes_started()
    if others:
        text = (
            f"no optimiser stepped in this process, but it started {others} more: training in processes that a script "
            "starts itself (mp.spawn) is not watched; start them with torchrun -m surefoot run"
        )
        session.event(0, "note", text=text)
        tell_on_stderr(text)
    if session.close(code, exception, report=options.report) is None or options.quiet:
        return
    from rich.console import Console

    from surefoot.report import terminal
    from surefoot.runs import open_run

    terminal.render(open_run(session.folder), Console(file=sys.stderr))
