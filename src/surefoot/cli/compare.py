"""``surefoot compare``: two recorded runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from surefoot.cli.runs import chosen
from surefoot.cli.tables import print_json

if TYPE_CHECKING:
    from surefoot.report.comparison import Comparison

_A = typer.Argument(..., metavar="A", help="A run's folder, or its name under ./surefoot-runs.")
_B = typer.Argument(..., metavar="B", help="Another.")
_HTML = typer.Option(None, "--html", metavar="FILE", help="Also write a page with both runs' curves.")
_JSON = typer.Option(False, "--json", help="Print JSON.")


def compare(a: str = _A, b: str = _B, html: Path | None = _HTML, as_json: bool = _JSON) -> None:
    """Compare two runs: settings, where they part, signals, findings.

    \b
    examples:
      surefoot compare train-20260302-142107 train-20260302-150233
      surefoot compare runs/a runs/b --html compared.html
      surefoot compare runs/a runs/b --json | jq .first_difference.loss

    Signals are compared at the steps that both runs recorded, with the median over
    layers where they have one value a layer.
    """
    from surefoot.report.comparison import compare as lay_side_by_side
    from surefoot.report.record import Record

    if html is not None and (html.is_dir() or not html.absolute().parent.is_dir()):
        raise ValueError(f"--html: {str(html)!r} is no file in a folder that exists; name one, such as 'compared.html'")
    found = lay_side_by_side(Record(chosen(a)), Record(chosen(b)))
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)
    if html is not None:
        from surefoot.report.comparison_page import write

        page = write(found, html)
        if not as_json:
            print(f"\npage      {page}")


def _print(found: Comparison) -> None:
    from rich.console import Console

    from surefoot.report.comparison_terminal import render

    render(found, Console(highlight=False, markup=False))
