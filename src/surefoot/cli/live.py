"""``surefoot live``: a running record in the terminal, refreshed while it grows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from surefoot.cli.runs import chosen

if TYPE_CHECKING:
    from surefoot.report.dashboard import Dashboard

_RUN = typer.Argument(None, metavar="RUN", help="A run's folder; by default the newest one under ./surefoot-runs.")
_ONCE = typer.Option(False, "--once", help="Print what there is now, once.")
_EVERY = typer.Option(1.0, "--every", metavar="SECONDS", min=0.1, help="How often to look for something new.")


def live(run: str | None = _RUN, once: bool = _ONCE, every: float = _EVERY) -> None:
    """Watch a run from another terminal while it trains.

    \b
    examples:
      surefoot live
      surefoot live surefoot-runs/train-20260302-142107 --every 5
      surefoot live --once

    It ends when the run has ended, or with Ctrl-C; the run itself is not touched.
    """
    from rich.console import Console

    from surefoot.report.dashboard import Dashboard

    console = Console(highlight=False, markup=False)
    board = Dashboard(chosen(run))
    board.update()
    if once:
        console.print(board.frame(console))
        return
    if not console.is_terminal:
        _lines(board, every)
        return
    from rich.live import Live

    with Live(board.frame(console), console=console, auto_refresh=False, vertical_overflow="crop") as screen:
        try:
            while not board.ended:
                time.sleep(every)
                board.update()
                screen.update(board.frame(console), refresh=True)
        except KeyboardInterrupt:
            pass


def _lines(board: Dashboard, every: float) -> None:
    """Where nothing can be drawn anew: a line whenever there is something new."""
    told = ""
    try:
        while True:
            line = board.line()
            if line != told:
                print(line, flush=True)
                told = line
            if board.ended:
                return
            time.sleep(every)
            board.update()
    except KeyboardInterrupt:
        pass
