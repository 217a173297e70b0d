"""The frame of the commands that typer parses; ``surefoot run`` is parsed apart and only listed here."""

from __future__ import annotations

import typer

from surefoot import __version__
from surefoot.cli import ABOUT
from surefoot.cli.compare import compare
from surefoot.cli.explain import explain
from surefoot.cli.export import export
from surefoot.cli.findings import findings
from surefoot.cli.inspect import inspect
from surefoot.cli.live import live
from surefoot.cli.report import report
from surefoot.cli.show import show
from surefoot.cli.signals import signals
from surefoot.cli.study import study
from surefoot.cli.sweep import SETTINGS, sweep


def commands() -> typer.Typer:
    """All commands, with their help."""
    frame = typer.Typer(
        help=ABOUT,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    frame.callback()(_options)
    pass_on = {"allow_extra_args": True, "ignore_unknown_options": True}
    frame.command("run", context_settings=pass_on, add_help_option=False)(_run)
    frame.command("show")(show)
    frame.command("report")(report)
    frame.command("live")(live)
    frame.command("compare")(compare)
    frame.command("export")(export)
    frame.command("inspect")(inspect)
    frame.command("sweep", context_settings=SETTINGS)(sweep)
    frame.command("findings")(findings)
    frame.command("explain")(explain)
    frame.command("signals")(signals)
    frame.add_typer(study, name="study")
    return frame


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"surefoot {__version__}")
        raise typer.Exit


_VERSION = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version.")


def _options(version: bool = _VERSION) -> None:
    """Options before any command; their callbacks do the work."""


def _run(context: typer.Context) -> object:
    """Run a training script unchanged, and watch it."""
    from surefoot.cli.run import run

    return run(context.args)
