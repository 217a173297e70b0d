"""The command line: one file a command. Importing this loads the standard library only, for the sake of ``run``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

ABOUT = """Find out why training goes wrong, before it costs you the run, and fix it.

\b
Watch a training script, unchanged, and read what is wrong with it:
  surefoot run train.py --lr 3e-4

\b
Read it again later, in the terminal or in the browser:
  surefoot show
  surefoot report --open
"""


def app(arguments: Sequence[str] | None = None) -> int:
    """Parse and run one command; returns the exit code.

    A mistake in the arguments, or a run that cannot be read, is one line on stderr and exit code 2.

    Parameters
    ----------
    arguments
        What follows ``surefoot`` on the command line; by default that of this process.
    """
    import sqlite3

    from surefoot.cli.frame import commands

    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = commands()(given or ["--help"], standalone_mode=False, prog_name="surefoot")
    except (OSError, ValueError, sqlite3.Error) as error:
        return _refuse(str(error))
    except Exception as error:
        # typer's own exceptions, wherever its version keeps them, can say what was wrong with the arguments.
        if hasattr(error, "format_message"):
            return _refuse(f"{error.format_message()} (see surefoot --help)")
        raise
    return code if isinstance(code, int) else 0


def _refuse(message: str) -> int:
    print(f"surefoot: {' '.join(message.split())}", file=sys.stderr)
    return 2
