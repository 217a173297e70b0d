"""The remedies that ``--apply`` knows, and how those are read that a command line asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from surefoot.apply.settings import Choice, Entry, Key, number, text_of
from surefoot.apply.table_of_models import OF_MODELS
from surefoot.apply.table_of_steps import OF_STEPS


def several(text: str) -> tuple[str, ...]:
    """Read ``ID[:key=value]/ID[:key=value]…``, remedies to choose from, each one or several with ``+`` between.

    Raises
    ------
    ValueError
        For fewer than two, an unknown one, one that chooses itself, or one that is given twice in one choice.
    """
    texts = tuple(text.split("/"))
    ids = [[choice.id for choice in chosen(together(one))] for one in texts]
    if len(texts) < 2 or any({"best-of", "game-search"} & set(those) for those in ids):
        raise ValueError(text)
    return texts


_SECONDS = Key("seconds", 120.0, "that the trials may take", number(0.0), "a positive number")
OF_BRANCHES = (
    Entry(
        "game-search",
        "takes those of several remedies that bring samples nearest to the data in branches of the script",
        "two players go round in circles, samples are all alike, or one player gets no gradient",
        "game_search:GameSearch",
        (
            Key("of", ("gradient-penalty", "two-rates:factor=3", "two-rates:factor=10", "non-saturating"),
                "remedies, each as ID or ID:key=value, with / between", several,
                "two or more that there are"),
            _SECONDS,
        ),
    ),
    Entry(
        "best-of",
        "takes that of several remedies which brings the script furthest in branches of it",
        "there are several ways to cure what is wrong",
        "best_of:BestOf",
        (
            Key("of", ("critical-init", "layer-norm"),
                "remedies, each as ID or ID:key=value; + joins those of one choice, / parts choices",
                several, "two or more that there are"),
            _SECONDS,
        ),
    ),
)  # fmt: skip
"""Those that choose among the others."""

ENTRIES = (*OF_STEPS, *OF_MODELS, *OF_BRANCHES)
KNOWN = {entry.id: entry for entry in ENTRIES}


def parse(text: str) -> Choice:
    """Read ``ID[:key=value,…]``.

    Raises
    ------
    ValueError
        For an unknown id or key, or a value out of range; the message lists what would do, in one line.
    """
    id, colon, rest = text.strip().partition(":")
    entry = KNOWN.get(id)
    if entry is None:
        close = get_close_matches(id.lower().replace("_", "-"), list(KNOWN), n=1, cutoff=0.6)
        hint = f"did you mean {close[0]!r}? there are" if close else "there are"
        raise ValueError(f"there is no remedy {id!r}; {hint} {', '.join(KNOWN)}")
    keys = {key.name: key for key in entry.keys}
    settings = {key.name: key.default for key in entry.keys}
    given: set[str] = set()
    for part in rest.split(",") if colon else ():
        name, equals, value = (word.strip() for word in part.partition("="))
        name = name.replace("-", "_")
        key = keys.get(name)
        if key is None:
            raise ValueError(f"{id} has no setting {name!r}; {_settings_of(entry)}")
        if name in given:
            raise ValueError(f"{id}: {name} is given twice")
        given.add(name)
        try:
            settings[name] = key.read(value)
        except (ValueError, KeyError, OverflowError):
            got = value if equals else part.strip()
            raise ValueError(f"{id}: {name} ({key.meaning}) wants {key.wants}, not {got!r}") from None
    return Choice(id, tuple(settings.items()))


def together(text: str) -> list[str]:
    """The remedies of one choice, with ``+`` between; a ``+`` in a setting is followed by no id."""
    return re.split(rf"\+(?=(?:{'|'.join(KNOWN)})(?:[:+]|$))", text)


def _settings_of(entry: Entry) -> str:
    if not entry.keys:
        return "it has none"
    return "it has " + "; ".join(f"{key.name}={text_of(key.default)} ({key.meaning})" for key in entry.keys)


def chosen(texts: Sequence[str]) -> tuple[Choice, ...]:
    """Read several; each remedy at most once, for two of a kind would act on each other.

    Raises
    ------
    ValueError
        As :func:`parse`, and for a remedy that is given twice.
    """
    choices = tuple(map(parse, texts))
    for choice in choices:
        if sum(other.id == choice.id for other in choices) > 1:
            raise ValueError(f"{choice.id} is given twice; once with all its settings will do")
    if {"z-loss", "stablemax"} <= {choice.id for choice in choices}:
        raise ValueError("z-loss and stablemax exclude each other: StableMax has no log Z; leave one away")
    return choices
