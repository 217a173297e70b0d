"""``surefoot report``: write a recorded run's HTML page."""

from __future__ import annotations

from pathlib import Path

import typer

from surefoot.cli.runs import chosen, folder

_RUN = typer.Argument(None, metavar="RUN", help="A run's folder; by default the newest one under ./surefoot-runs.")
_OUT = typer.Option(
    None, "--out", metavar="FILE", help="The file to write; by default report.html in the run's folder."
)
_OPEN = typer.Option(False, "--open", help="Open the page in the browser.")


def report(run: str | None = _RUN, out: Path | None = _OUT, open_page: bool = _OPEN) -> None:
    """Write the report of a run as one HTML file that works offline.

    \b
    examples:
      surefoot report --open
      surefoot report surefoot-runs/train-20260302-142107 --out train.html
    """
    from surefoot.report import html

    opened = chosen(run)
    if out is None:
        out = folder(opened) / "report.html"
    elif out.is_dir():
        raise ValueError(f"--out: {str(out)!r} is a folder; name a file, such as {str(out / 'report.html')!r}")
    elif not out.parent.is_dir():
        raise ValueError(f"--out: there is no folder {str(out.parent)!r}; make it first, or name a file elsewhere")
    page = html.write(opened, out)
    print(page)
    if open_page:
        typer.launch(page.resolve().as_uri())
