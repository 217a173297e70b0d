"""The one session of this process: what ``surefoot run`` and ``surefoot.watch`` start and end."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from surefoot.monitor.options import RunOptions
from surefoot.monitor.session import Session, free_folder

_session: Session | None = None
_options: RunOptions | None = None  # set when `surefoot run` owns the session


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
    global _session, _options
    begin = time.perf_counter()
    if options.resume is not None:
        folder = Path(options.resume)
    else:
        runs = Path(options.home) / "surefoot-runs"
        folder = Path(options.out) if options.out is not None else free_folder(runs, options.script)
    _session = Session(
        folder.absolute(),  # the script may change the working directory
        script=options.script,
        argv=options.argv,
        budget=options.budget,
        look_every=options.look_every,
        means=options.look,
        resume=options.resume is not None,
        started=begin,
    )
    _options = options


def save() -> None:
    """Commit what there is: the process is about to end without last words."""
    if _session is not None:
        _session.save()


def finish(code: int | None, exception: str | None) -> None:
    """The script is over: write diagnosis and report, and tell on stderr."""
    session, options = _session, _options
    if session is None or options is None or session.closed:
        return
    if session.close(code, exception, report=options.report) is None or options.quiet:
        return
    from rich.console import Console

    from surefoot.report import terminal
    from surefoot.runs import open_run

    terminal.render(open_run(session.folder), Console(file=sys.stderr))
