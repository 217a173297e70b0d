"""``surefoot explain``: teach one finding."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from surefoot.cli.findings import by_family, levels
from surefoot.cli.tables import meant, print_json

if TYPE_CHECKING:
    from surefoot.findings.catalogue import Explanation

_ID = typer.Argument(..., metavar="ID", help="A finding, such as dead-units.")
_JSON = typer.Option(False, "--json", help="Print JSON.")


def explain(id: str = _ID, as_json: bool = _JSON) -> None:
    """Teach one finding: its mathematics, its source, its cures.

    \b
    examples:
      surefoot explain vanishing-gradient
      surefoot explain dead-units --json
    """
    from surefoot.findings.catalogue.cures import cures

    known = {entry.id: (family, entry) for family, entries in by_family().items() for entry in entries}
    if id not in known:
        raise ValueError(
            f"ID: there is no finding {id!r}{meant(id, known) or '; surefoot findings lists those there are'}"
        )
    family, entry = known[id]
    remedies = [(name, cures().get(name)) for name in entry.remedies]
    if as_json:
        told = [{"name": name, **(asdict(cure) if cure else {})} for name, cure in remedies]
        print_json({"family": family, **asdict(entry), "remedies": told})
        return
    _print(entry, remedies)


def _print(entry: Explanation, remedies: list[tuple[str, Any]]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    width = min(console.width, 80)

    def paragraph(text: str, indent: int = 0) -> None:
        console.print(Padding(Text(text), (0, 0, 0, indent)), width=width)

    def section(title: str, text: str) -> None:
        if text:
            console.print(Text(f"\n{title}", style="bold"))
            for line in text.splitlines():
                # Formulas are set in: what is set in stays so when it is wrapped.
                paragraph(line.strip(), 2 + len(line) - len(line.lstrip()))

    console.print(Text.assemble((entry.id, "bold"), f"  {levels(entry)}"))
    paragraph(entry.title)
    if entry.what:
        console.print()
        paragraph(entry.what)
    section("What is judged", entry.mathematics)
    section("Source", entry.source)
    section("Healthy runs that look alike", entry.not_this)
    section("Severity", entry.severities)
    if remedies:
        console.print(Text("\nCures" if len(remedies) > 1 else "\nCure", style="bold"))
    for number, (name, cure) in enumerate(remedies):
        if number:
            console.print()
        paragraph(f"{name}: {cure.why}" if cure else name, 2)
        if cure:
            for line in cure.how.splitlines():
                console.print(Text(f"    {line}"), soft_wrap=True)
        if cure and cure.apply:
            paragraph(f"or, with the script as it is: surefoot run --apply {cure.apply} …", 4)
