"""Run a script or a module in this process as ``python script.py`` and ``python -m module`` do.

A script cannot tell the difference: `sys.argv`, `sys.path`, `__main__`, its exit status, what it prints and its
tracebacks are those it would have alone. Only a look at the whole stack (``traceback.print_stack``) shows our frames
below those of the script.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import BuiltinImporter, SourceFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any

from surefoot.cli import attach

Ended = Callable[[int, BaseException | None], None]
"""Told the exit code, and the exception that ended the script if it was not ``SystemExit``."""


def run_path(path: str, argv: Sequence[str], ended: Ended) -> Any:
    """Run a script, or a folder or zip file with a ``__main__.py``; returns what ``sys.exit`` is to be called with."""
    sys.argv = [path, *argv]
    file = os.path.join(os.getcwd(), path)  # not normalised: python does not either
    from pkgutil import get_importer

    if get_importer(file) is not None:
        if sys.flags.safe_path:
            sys.path.insert(0, file)
        else:
            sys.path[0] = file
        _fresh_main(BuiltinImporter)
        return _run(lambda: _run_module_as_main("__main__", False), ended)
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(file))
    main = _fresh_main(SourceFileLoader("__main__", file))
    main.__dict__.update(__file__=file, __cached__=None)
    return _run(lambda: exec(_compile(file), main.__dict__), ended)


def run_module(name: str, argv: Sequence[str], ended: Ended) -> Any:
    """Run a module or package by its dotted name; returns what ``sys.exit`` is to be called with."""
    sys.argv = ["-m", *argv]  # python has it so too, until the module is found
    if not sys.flags.safe_path:
        sys.path[0] = os.getcwd()
    _fresh_main(BuiltinImporter)
    return _run(lambda: _run_module_as_main(name, True), ended)


def _run_module_as_main(name: str, alter_argv: bool) -> None:
    import runpy

    # What the interpreter itself calls for -m, so that even the runpy frames of a traceback are the same.
    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


def _compile(file: str) -> CodeType:
    with open(file, "rb") as source:
        return compile(source.read(), file, "exec", dont_inherit=True)


_launcher = sys.modules["__main__"]  # kept: its code is still running while the script is __main__


def _fresh_main(loader: Any) -> ModuleType:
    main = ModuleType("__main__")
    main.__loader__ = loader
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    return main


def _run(script: Callable[[], object], ended: Ended) -> Any:
    try:
        script()
    except SystemExit as error:
        ended(error.code if isinstance(error.code, int) else 0 if error.code is None else 1, None)
        return error.code  # sys.exit prints what is not a number, to stderr, as it does for the script
    except BaseException as error:
        crash = error
    else:
        ended(0, None)
        return 0
    ended(1, crash)
    status = _show(crash)
    if isinstance(crash, KeyboardInterrupt):
        _leave_by_interrupt(crash)
    return status


def _show(error: BaseException) -> Any:
    """Print an exception that nobody caught as the interpreter does; returns the exit status."""
    _clean(error, set())
    trace = error.__traceback__
    _set_last(error)
    hook = getattr(sys, "excepthook", None)
    if hook is None:
        print("sys.excepthook is missing", file=sys.stderr)
        hook = sys.__excepthook__
    try:
        sys.audit("sys.excepthook", hook, type(error), error, trace)
        hook(type(error), error, trace)
    except SystemExit as leaving:
        return leaving.code
    except BaseException as second:
        _clean(second, set())
        print("Error in sys.excepthook:", file=sys.stderr)
        sys.__excepthook__(type(second), second, second.__traceback__)
        print("\nOriginal exception was:", file=sys.stderr)
        sys.__excepthook__(type(error), error, trace)
    return 1


def _set_last(error: BaseException) -> None:
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__


def _leave_by_interrupt(error: BaseException) -> None:
    """Let the interrupt reach the interpreter, which then ends the process by SIGINT once it has finalised."""
    trace, hook = error.__traceback__, sys.excepthook

    def already_shown(*_: object) -> None:
        sys.excepthook = hook
        error.__traceback__ = trace
        _set_last(error)

    sys.excepthook = already_shown
    raise error


def _without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the script's first frame on, without the functions of torch that we stand before.

    It is cut where it enters surefoot's own start, which Ctrl-C can hit.
    """
    while trace is not None and trace.tb_frame.f_code.co_filename == _HERE:
        trace = trace.tb_next
    entry = trace
    while entry is not None:
        below = entry.tb_next
        while below is not None and below.tb_frame.f_code.co_filename in _IN_BETWEEN:
            below = below.tb_next
        if below is not None and below.tb_frame.f_code.co_filename == attach.__file__:
            below = None
        entry.tb_next = below
        entry = below
    return trace


def _clean(error: BaseException, seen: set[int]) -> None:
    """Take our frames out of an exception, of those it came from and of those it groups."""
    if id(error) in seen:
        return
    seen.add(id(error))
    error.__traceback__ = _without_our_frames(error.__traceback__)
    for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
        if isinstance(other, BaseException):
            _clean(other, seen)


_HERE = _run.__code__.co_filename
_PACKAGE = os.path.dirname(os.path.dirname(_HERE))
_IN_BETWEEN = {
    os.path.join(_PACKAGE, *path)
    for path in (
        ("observe", "patches.py"),
        ("observe", "printed.py"),
        ("observe", "replay.py"),
        ("observe", "validation.py"),
        ("observe", "attention_patch.py"),
        ("apply", "interpose.py"),
        ("monitor", "stop.py"),
    )
}
