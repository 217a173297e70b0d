"""``surefoot inspect --at-init``: run a script as ``python`` does, up to its first optimiser step, and look at that."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any, NoReturn

from surefoot.cli.attach import Attachment
from surefoot.cli.script import run_module, run_path
from surefoot.monitor.options import RunOptions


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"surefoot inspect: {message} (see surefoot inspect --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="surefoot inspect",
        usage="surefoot inspect --at-init [options] script.py [arguments]",
        description="Run a PyTorch training script up to its first optimizer step, look at that, and end it.",
        allow_abbrev=False,
    )
    parser.add_argument("--at-init", action="store_true", help="of a script, not of FILE.py:FUNCTION")
    parser.add_argument("--out", metavar="DIR", help="folder for record and report (default: surefoot-runs/…)")
    parser.add_argument("-m", dest="module", action="store_true", help="run a module, as python -m does")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="script.py [arguments]", help="and all that is its")
    return parser


def at_init(arguments: Sequence[str]) -> Any:
    """Run the script that the command line names; returns what ``sys.exit`` is to be called with."""
    parser = _parser()
    parsed = parser.parse_args(list(arguments))
    if not parsed.at_init:
        parser.error("--at-init comes before the script; what follows the script is its own")
    if not parsed.rest:
        parser.error("no script to run; name one, such as train.py")
    script, *argv = parsed.rest
    if not parsed.module and not os.path.exists(script):
        parser.error(f"no script {script!r} in {os.getcwd()}")
    if parsed.out is not None and os.path.exists(os.path.join(parsed.out, "run.sqlite")):
        parser.error(f"--out {parsed.out!r} holds a record already; name a new folder")
    out = None if parsed.out is None else os.path.abspath(parsed.out)
    attachment = Attachment(RunOptions(script=script, argv=tuple(argv), out=out, home=os.getcwd(), at_init=True))
    attachment.install()
    start = run_module if parsed.module else run_path
    return start(script, argv, attachment.script_ended)
