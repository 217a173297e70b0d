"""``surefoot findings``: list what surefoot can find."""

from __future__ import annotations

from dataclasses import asdict
from textwrap import fill
from typing import TYPE_CHECKING

import typer

from surefoot.cli.tables import markdown_row, print_json, show, table

if TYPE_CHECKING:
    from surefoot.findings.catalogue import Explanation

_JSON = typer.Option(False, "--json", help="Print JSON, with all that surefoot explain tells.")
_MARKDOWN = typer.Option(False, "--markdown", help="Print the page docs/findings.md.")
TITLES = {
    "numbers": "Numbers",
    "gradient_flow": "Gradient flow",
    "steps": "Steps",
    "data_and_loss": "Data and loss",
    "wiring": "Wiring",
    "own": "Of installed packages",
}
_HEAD = """\
# Findings

<!-- Written by: surefoot findings --markdown > docs/findings.md -->

What surefoot can find, family by family. `surefoot explain ID` tells one with the code of its remedies. Ids are public
and stable. A healthy run has nothing above `info`. Every threshold comes from theory where there is one (named as
source), else from the run's own history. How to leave findings out, to stop a run at one, and to write rules and
signals of your own: [Configuration and rules of your own](rules.md). The signals: [Signals](signals.md).

Where harm shows by itself (a printed number, the validation loss or the loss lost a quarter of what it had gained, for
a tenth of the run), many of these findings are told as well by what changed at that time: a signal that went beyond all
it had been while the run went well, by ten times or by half of all.
"""


def findings(as_json: bool = _JSON, as_markdown: bool = _MARKDOWN) -> None:
    """List what surefoot can find in a run, family by family.

    \b
    examples:
      surefoot findings
      surefoot findings --json | jq '.[].id'
    """
    families = by_family()
    if as_json:
        print_json([{"family": family, **asdict(entry)} for family, entries in families.items() for entry in entries])
    elif as_markdown:
        print(markdown(families))
    else:
        for number, (family, entries) in enumerate(families.items()):
            if number:
                print()
            made = table(TITLES[family], "up to", "", wrapped=("",))
            for entry in entries:
                made.add_row(entry.id, levels(entry).partition(",")[0], entry.title)
            show(made)
        print("\nsurefoot explain ID teaches one of them.")


def by_family() -> dict[str, list[Explanation]]:
    """All explanations family by family; families without any are left out."""
    from surefoot.findings import all_rules
    from surefoot.findings.catalogue import Explanation, families

    found = {family: list(entries) for family, entries in families().items()}
    known = {entry.id for entries in found.values() for entry in entries}
    # Rules of other packages explain themselves by their docstring.
    found["own"] = [
        Explanation(rule.id, *_docstring(rule.check.__doc__), mathematics="", source="", not_this="", remedies=(),
                    severities="")
        for rule in all_rules() if rule.id not in known
    ]  # fmt: skip
    return {family: entries for family, entries in found.items() if entries}


def _docstring(text: str | None) -> tuple[str, str]:
    """The first line, and the rest."""
    import inspect

    first, _, rest = inspect.cleandoc(text or "").partition("\n")
    return first, rest.strip()


def levels(entry: Explanation) -> str:
    """The severities that a finding can have, the gravest first."""
    return ", ".join(word for word in ("critical", "warning", "info") if word in entry.severities)


def markdown(families: dict[str, list[Explanation]]) -> str:
    """The page docs/findings.md, without a newline at its end."""
    lines = [_HEAD]
    for family, entries in families.items():
        lines += [f"## {TITLES[family]}", "", "| id | what it says | severities |", "| --- | --- | --- |"]
        lines += [markdown_row(f"[`{e.id}`](#{e.id})", e.title, levels(e)) for e in entries]
        lines.append("")
        for entry in entries:
            lines += [f"### {entry.id}", "", entry.what, ""]
            if entry.mathematics:
                lines += ["```text", *_wrapped(entry.mathematics), "```", ""]
            for name, text in (
                ("Source", entry.source),
                ("Healthy runs that look alike", entry.not_this),
                ("Severity", entry.severities),
                ("Remedies", ", ".join(f"`{remedy}`" for remedy in entry.remedies)),
            ):
                if text:
                    lines += [f"**{name}**: {text}", ""]
    return "\n".join(lines).rstrip("\n")


def _wrapped(text: str) -> list[str]:
    """Lines that fit a page; what is set in stays so."""
    return [
        part
        for line in text.splitlines()
        for part in fill(line, 100, subsequent_indent=" " * (len(line) - len(line.lstrip()))).splitlines() or [""]
    ]
