"""``surefoot run``: run a training script as ``python`` does, and watch it."""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from surefoot.apply.catalogue import ENTRIES, chosen
from surefoot.apply.settings import Choice
from surefoot.cli.attach import Attachment
from surefoot.cli.earlier import first_remedy
from surefoot.cli.script import run_module, run_path
from surefoot.monitor.config import Config, find
from surefoot.monitor.options import RunOptions

_REMEDIES = textwrap.fill(", ".join(entry.id for entry in ENTRIES), 79, break_on_hyphens=False)
_EPILOG = f"""\
examples:
  surefoot run train.py
  surefoot run train.py --lr 3e-4 --steps 2000
  surefoot run --out runs/first --budget 0.05 train.py --lr 3e-4
  surefoot run -m mypackage.train --config small.toml
  surefoot run --stop-on critical --ignore dead-units@encoder.* train.py
  surefoot run --apply lr-scale:factor=0.1 --apply skip-bad-batch train.py
  surefoot run --apply auto --from surefoot-runs/train-20260302-142107 train.py

Everything after the script (or after -m MODULE) belongs to the script. It runs
as under python: nothing in it has to change, and its numbers, its output and
its exit code do not. The diagnosis is printed to stderr when it has ended.

--apply changes what the script does, on purpose, by one of
{_REMEDIES}
with settings as in agc:clip=0.05,eps=0.001. What was done is recorded and
told; all else stays bit for bit as it was. docs/apply.md says when to use them.

budget, ignore, stop_on and rules can be set in [tool.surefoot] of the nearest
pyproject.toml, upwards from the script or the working directory.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line and no usage: the line says what would do."""
        self.exit(2, f"surefoot run: {message} (see surefoot run --help)\n")


def _budget(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"wants a share of step time, above 0 and at most 1, not {text!r}")
    return value


def _steps(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wants a number of steps, 1 or more, not {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="surefoot run",
        usage="surefoot run [options] script.py [arguments]\n       surefoot run [options] -m module [arguments]",
        description="Run a PyTorch training script unchanged, watch it, and say what goes wrong.",
        epilog=_EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=80, max_help_position=26),
        allow_abbrev=False,
    )
    parser.add_argument("-m", dest="module", metavar="MODULE", help="run a module, as python -m does")
    parser.add_argument("--out", metavar="DIR", help="folder of this run (default: a new one in surefoot-runs)")
    parser.add_argument("--resume", metavar="DIR", help="continue the record in DIR, of a run that was cut short")
    parser.add_argument(
        "--budget", metavar="FRACTION", type=_budget, help="share of step time to spend (default: 0.02)"
    )
    parser.add_argument("--look-every", metavar="N", type=_steps, help="look at every N-th step, whatever it costs")
    parser.add_argument(
        "--look", choices=("hooks", "borrow", "replay"), help="use this one means of looking inside the model"
    )
    parser.add_argument(
        "--ignore",
        metavar="ID[@MODULE]",
        action="append",
        default=[],
        help="do not tell this finding, or not in these modules (a glob such as encoder.*); can be given again",
    )
    parser.add_argument(
        "--stop-on",
        metavar="critical|ID[,ID…]",
        help="end the run with exit code 3 once there is a critical finding, or one of these",
    )
    parser.add_argument(
        "--rules",
        metavar="FILE.py",
        action="append",
        default=[],
        help="load rules of your own from a file; can be given again",
    )
    parser.add_argument(
        "--keep-samples",
        action="store_true",
        help="store the few input rows that a finding names (else no input is stored)",
    )
    parser.add_argument(
        "--apply",
        metavar="ID[:KEY=VALUE,…]",
        action="append",
        default=[],
        help="put a remedy in place, or auto: that of the run named by --from; can be given again",
    )
    parser.add_argument(
        "--from", dest="earlier", metavar="RUN", help="the earlier run whose first finding --apply auto cures"
    )
    parser.add_argument("--quiet", action="store_true", help="print no diagnosis at the end")
    parser.add_argument("--no-report", action="store_true", help="write no report.html")
    return parser


_TAKE_A_VALUE = frozenset(
    {
        "--out",
        "--resume",
        "--budget",
        "--look-every",
        "--look",
        "--ignore",
        "--stop-on",
        "--rules",
        "--apply",
        "--from",
    }
)


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our options, and the script (or ``-m`` and the module) with all that follows.

    argparse alone would look for its options among the script's arguments too.
    """
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word == "--":
            return list(arguments[:position]), list(arguments[position + 1 :])
        if word.startswith("-m") or not word.startswith("-") or word == "-":
            return list(arguments[:position]), list(arguments[position:])
        position += 2 if word in _TAKE_A_VALUE else 1
    return list(arguments), []


def _parse(arguments: Sequence[str]) -> tuple[RunOptions, bool]:
    """The options, and whether the script is named as a module. Bad ones print one line and exit with 2."""
    parser = _parser()
    ours, theirs = _split(arguments)
    parsed = parser.parse_args(ours)
    module = bool(theirs) and theirs[0].startswith("-m")
    if module and theirs[0] != "-m":
        theirs[:1] = ["-m", theirs[0][2:]]  # python takes -mpackage too
    theirs = theirs[1:] if module else theirs
    if not theirs:
        parser.error("-m wants the name of a module" if module else "no script to run; name one, such as train.py")
    script, *argv = theirs
    if not module and not os.path.exists(script):
        parser.error(f"no script {script!r} in {os.getcwd()}")
    if parsed.resume is not None:
        if parsed.out is not None:
            parser.error("--resume continues a run in its own folder; leave --out away")
        if not os.path.exists(os.path.join(parsed.resume, _record())):
            parser.error(f"--resume wants the folder of a run; {parsed.resume!r} holds no {_record()}")
    elif parsed.out is not None and os.path.exists(os.path.join(parsed.out, _record())):
        parser.error(f"--out {parsed.out!r} holds a run already; name another folder, or continue it with --resume")
    settings = _settings(parser, None if module else script, parsed)
    options = RunOptions(
        script=script,
        argv=tuple(argv),
        out=None if parsed.out is None else os.path.abspath(parsed.out),
        budget=settings.budget if settings.budget is not None else 0.02,
        look_every=parsed.look_every,
        look=parsed.look,
        resume=None if parsed.resume is None else os.path.abspath(parsed.resume),
        home=os.getcwd(),
        quiet=parsed.quiet,
        report=not parsed.no_report,
        keep_samples=parsed.keep_samples,
        ignore=settings.ignore,
        stop_on=settings.stop_on,
        rules=settings.rules,
        apply=_remedies(parser, parsed),
    )
    return options, module


def _settings(parser: argparse.ArgumentParser, script: str | None, parsed: argparse.Namespace) -> Config:
    """Those of the command line, and of the nearest pyproject.toml where it says nothing."""
    starts = [os.getcwd()] if script is None else [os.path.dirname(os.path.realpath(script)), os.getcwd()]
    try:
        found = find(starts)
    except ValueError as error:
        parser.error(" ".join(str(error).split()))
    for file in parsed.rules:
        if not (file.endswith(".py") and os.path.isfile(file)):
            parser.error(f"--rules wants a Python file; there is no {file!r} in {os.getcwd()}")
    rules = tuple(dict.fromkeys([*found.rules, *map(os.path.abspath, parsed.rules)]))
    ignore = (*found.ignore, *parsed.ignore)
    stop_on = parsed.stop_on if parsed.stop_on is not None else found.stop_on
    for entry in ignore:
        _known(parser, "--ignore", entry, bool(rules))
    for id in () if stop_on is None else stop_on.split(","):
        if id != "critical":
            _known(parser, "--stop-on", id, bool(rules))
    return Config(parsed.budget if parsed.budget is not None else found.budget, ignore, stop_on, rules)


def _remedies(parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> tuple[Choice, ...]:
    """What ``--apply`` asks for."""
    if (parsed.earlier is not None) != ("auto" in parsed.apply):
        parser.error("--apply auto and --from RUN go together: the remedy is that of RUN's first finding")
    try:
        texts = [first_remedy(parsed.earlier) if text == "auto" else text for text in parsed.apply]
        return chosen(texts)
    except ValueError as error:
        parser.error(f"--apply: {' '.join(str(error).split())}")


def _known(parser: argparse.ArgumentParser, option: str, entry: str, own_rules: bool) -> None:
    """Refuse an id that no finding has, and an ``ID@`` without a module."""
    id, at, module = entry.partition("@")
    if not id or (at and not module) or (at and option == "--stop-on"):
        parser.error(
            f"{option} wants {'ID or ID@module' if option == '--ignore' else 'critical or an ID'}, not {entry!r}"
        )
    from surefoot.cli.known import unknown

    mistake = unknown(id, own_rules)
    if mistake is not None:
        parser.error(f"{option}: {mistake}")


def _record() -> str:
    """The file this process records into: each rank of a distributed run has its own."""
    rank = os.environ.get("RANK", "0") if int(os.environ.get("WORLD_SIZE") or 1) > 1 else "0"
    return "run.sqlite" if rank == "0" else f"run.rank{rank}.sqlite"


def run(arguments: Sequence[str]) -> Any:
    """Run and watch the script that the command line names; returns what ``sys.exit`` is to be called with."""
    options, module = _parse(arguments)
    attachment = Attachment(options)
    attachment.install()
    start = run_module if module else run_path
    return start(options.script, options.argv, attachment.script_ended)
