"""Tables and lists of the listing commands, in 80 columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any


def table(*heads: str, wrapped: Sequence[str] = ()) -> Any:
    """A table without lines; only the columns named in ``wrapped`` may be broken."""
    from rich.table import Table

    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for head in heads:
        wraps = head in wrapped
        made.add_column(head, overflow="fold", no_wrap=not wraps, ratio=1 if wraps else None)
    return made


def show(made: Any) -> None:
    """Print a table; nothing in it is read as markup."""
    from rich.console import Console

    Console(highlight=False, markup=False).print(made)


def print_json(value: Any) -> None:
    """Print strict JSON."""
    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def markdown_row(*cells: str) -> str:
    """One row of a Markdown table, with bars escaped."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def meant(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'dead-units'?`` where something known is close to ``word``, else nothing."""
    close = get_close_matches(word.lower().replace("_", "-"), list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
