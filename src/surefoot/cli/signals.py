"""``surefoot signals``: list what is measured."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby

import typer

from surefoot.cli.tables import markdown_row, print_json, show, table

_JSON = typer.Option(False, "--json", help="Print JSON.")
_MARKDOWN = typer.Option(False, "--markdown", help="Print the page docs/signals.md.")
_HEAD = """\
# Signals

<!-- Written by: surefoot signals --markdown > docs/signals.md -->

What a record can hold, family by family. A family has a row at the steps where it was looked at; which families a run
has depends on its model and loss. `surefoot.open_run(folder).frame(NAME)` is one signal as a table, `surefoot export`
writes them all. *Where* says what the signal has one value of: each layer (a module with parameters of its own, by its
path), each optimizer (by its name, empty where there is one), each loss function, the run. Gradients are those before
clipping, without the factor of a gradient scaler; updates are what was done. Signals of your own, recorded by
`surefoot.log`, are in the family `user`: see [Configuration and rules of your own](rules.md).
"""


def signals(as_json: bool = _JSON, as_markdown: bool = _MARKDOWN) -> None:
    """List the signals that a record can hold.

    \b
    examples:
      surefoot signals
      surefoot signals --json | jq '.[] | select(.where == "layer").name'
    """
    from surefoot.runs.signals import SIGNALS

    if as_json:
        print_json([asdict(signal) for signal in SIGNALS.values()])
    elif as_markdown:
        print(markdown())
    else:
        made = table("signal", "where", "about", wrapped=("about",))
        for signal in SIGNALS.values():
            unit = f" ({signal.unit})"
            told = signal.unit == "1" or signal.title.endswith(unit)
            made.add_row(signal.name, signal.where, signal.title if told else signal.title + unit)
        show(made)


def markdown() -> str:
    """The page docs/signals.md, without a newline at its end."""
    from surefoot.runs.signals import SIGNALS

    lines = [_HEAD]
    for family, members in groupby(SIGNALS.values(), key=lambda signal: signal.family):
        lines += [f"## {family}", "", "| signal | where | unit | what it is |", "| --- | --- | --- | --- |"]
        lines += [markdown_row(f"`{s.name}`", s.where, s.unit, s.about) for s in members]
        lines.append("")
    return "\n".join(lines).rstrip("\n")
