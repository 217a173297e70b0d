"""``surefoot export``: write a record as files that other tools read."""

from __future__ import annotations

import shutil
from pathlib import Path

import typer

from surefoot.cli.runs import chosen, folder
from surefoot.cli.tables import meant

_RUN = typer.Argument(None, metavar="RUN", help="A run's folder; by default the newest one under ./surefoot-runs.")
_TO = typer.Option(..., "--to", metavar="parquet|csv|tensorboard", help="The kind of file.")
_OUT = typer.Option(
    None, "--out", metavar="PATH", help="The file (for tensorboard: the folder) to write; by default in RUN."
)
_SIGNAL = typer.Option(None, "--signal", metavar="NAME", help="Write this signal only; can be given again.")


def export(run: str | None = _RUN, to: str = _TO, out: Path | None = _OUT, signal: list[str] | None = _SIGNAL) -> None:
    """Write a run's signals and events for other tools.

    \b
    examples:
      surefoot export --to csv
      surefoot export surefoot-runs/train-20260302-142107 --to parquet --out t.parquet
      surefoot export --to tensorboard --out tb --signal loss --signal gradient_rms

    parquet and csv are one long table (step, signal, where, value), and a second
    one of the events beside it. parquet wants surefoot[parquet], tensorboard
    wants surefoot[tensorboard].
    """
    from surefoot.runs.export import KINDS
    from surefoot.runs.export import export as write

    if to not in KINDS:
        raise ValueError(f"--to is {to!r}; it must be one of {', '.join(KINDS)}{meant(to, KINDS)}")
    opened = chosen(run)
    if out is None:
        out = folder(opened) / ("tensorboard" if to == "tensorboard" else f"signals.{to}")
    if to == "tensorboard":
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ValueError(f"--out: there is something at {str(out)!r} already; name a new folder")
    elif out.is_dir():
        raise ValueError(f"--out: {str(out)!r} is a folder; name a file, such as {str(out / f'signals.{to}')!r}")
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out: there is no folder {str(out.parent)!r}; make it first, or name a file elsewhere")
    try:
        written = write(opened, to, out, signal or None)
    except ImportError as error:
        if to == "tensorboard" and out.is_dir() and not any(out.iterdir()):
            shutil.rmtree(out)
        raise ValueError(str(error)) from error
    for path in written:
        print(path)
