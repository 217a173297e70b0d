"""Two runs side by side in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from surefoot.report import wording
from surefoot.report.comparison import Comparison
from surefoot.report.record import Record
from surefoot.report.terminal import STYLES

MAX_WIDTH = 96
SETTINGS_SHOWN = 24


def render(found: Comparison, console: Console) -> None:
    """Print which run is better, what differs, where it begins, and the findings of each."""
    width = min(console.width, MAX_WIDTH)

    def line(text: Text | str) -> None:
        console.print(text, width=width)

    line(_head("A", found.a))
    line(_head("B", found.b))
    line(Text(summary(found), style="bold"))
    line(apart(found))
    if found.settings:
        table = _table("set differently", "A", "B")
        for name, a, b in found.settings[:SETTINGS_SHOWN]:
            table.add_row(name, a, b)
        _show(console, table, width)
        if len(found.settings) > SETTINGS_SHOWN:
            line(f"and {len(found.settings) - SETTINGS_SHOWN} more: --json has them all")
    if found.findings:
        table = _table("finding", "A", "B")
        for id, *words in found.findings:
            table.add_row(id, *(Text(word or "–", style=STYLES[word] if word else "dim") for word in words))
        _show(console, table, width)
    differing = [side for side in found.signals if side.name == "loss" or side.first_difference is not None]
    if differing:
        heads = ("signal", "median A", "median B", "B/A", "final A", "final B", "differs at")
        table = _table(*heads, right=heads[1:])
        for side in differing:
            first = "–" if side.first_difference is None else f"{side.first_difference:,}"
            numbers = [*side.medians, side.ratio, *side.finals]
            table.add_row(side.name, *(wording.number(n) if n == n else "–" for n in numbers), first)
        _show(console, table, width)
    equal = sum(side.first_difference is None and side.common > 0 for side in found.signals if side not in differing)
    if equal:
        line(Text(f"\n{wording.count(equal, 'signal')} equal at all common steps; --json has all", style="dim"))
    for letter, names in (("A", found.only_a), ("B", found.only_b)):
        if names:
            line(Text(f"\nonly {letter} has  {', '.join(names)}", style="dim"))


def _head(letter: str, record: Record) -> Text:
    facts = [wording.command(record).removeprefix("surefoot run "), wording.count(record.steps, "step")]
    path = str(record.run.path)
    return Text.assemble(
        (f"{letter}  ", "bold"),
        (f"{record.verdict:<8} ", STYLES[record.verdict]),
        " · ".join(facts),
        (f"  {path}", "dim"),
    )


def summary(found: Comparison) -> str:
    """Which run is better by its loss, in a sentence."""
    if found.identical:
        return "identical: what the script computes is equal at every step that both recorded"
    if found.losses is None:
        return "there is no loss that both runs have, or there are several: neither is called better"
    a, b = map(wording.number, found.losses)
    at = f"around step {found.judged_at:,}"
    if found.better is None:
        return f"neither is better: loss {a} in A, {b} in B {at}, a difference within the noise"
    better, worse = (("A", "B"), ("B", "A"))[found.better == "b"]
    low, high = (a, b) if better == "A" else (b, a)
    return f"{better} is better: loss {low} {at}, against {high} in {worse}"


def apart(found: Comparison) -> str:
    """Where the losses part, in a sentence."""
    side = next((side for side in found.signals if side.name == "loss" and side.common), None)
    if side is None:
        return "the runs have no step in common at which both recorded a loss"
    if side.first_difference is None:
        return f"the losses are equal at all {wording.count(side.common, 'step')} that both recorded"
    return f"the losses differ from step {side.first_difference:,} on (of {side.common:,} steps that both recorded)"


def _table(*heads: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if head in right else "left", overflow="fold", no_wrap=i == 0)
    return table


def _show(console: Console, table: Table, width: int) -> None:
    console.print()
    console.print(table, width=min(console.width, width))
