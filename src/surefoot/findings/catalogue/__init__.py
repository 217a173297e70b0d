"""What each finding means: the words, the mathematics and the source behind an id, for ``surefoot explain``."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

FAMILIES = ("numbers", "gradient_flow", "steps", "data_and_loss", "wiring")


@dataclass(frozen=True)
class Explanation:
    """One finding id, taught.

    Attributes
    ----------
    id : the finding's id
    title : what is wrong, in a few words
    what : what happens and why it harms, in two to five sentences
    mathematics : the quantity that is judged and its threshold, formulas in plain text
    source : the paper or the theorem it rests on, or "the run's own history"
    not_this : healthy runs that look alike, and how they are told apart
    remedies : names of what cures it, best first
    severities : when it is info, warning, critical
    """

    id: str
    title: str
    what: str
    mathematics: str
    source: str
    not_this: str
    remedies: tuple[str, ...]
    severities: str


def families() -> dict[str, tuple[Explanation, ...]]:
    """The built-in explanations of each family."""
    return {family: import_module(f"surefoot.findings.catalogue.{family}").ENTRIES for family in FAMILIES}


def explanations() -> dict[str, Explanation]:
    """All built-in explanations by finding id, family by family."""
    return {entry.id: entry for entries in families().values() for entry in entries}
