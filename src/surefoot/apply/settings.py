"""What a remedy and its settings are, and how settings are read from text. The standard library serves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Key:
    """One setting of a remedy.

    Attributes
    ----------
    name : as it is written
    default : what holds where it is not given
    meaning : a few words
    read : from text to value; raises ValueError where the text is none
    wants : what ``read`` takes, in words
    """

    name: str
    default: Any
    meaning: str
    read: Callable[[str], Any]
    wants: str


@dataclass(frozen=True)
class Entry:
    """One remedy: what it does in a few words, when to use it, its settings, and the class that does it."""

    id: str
    what: str
    when: str
    home: str  # module of this room : class
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True)
class Choice:
    """A remedy that was asked for, with all its settings."""

    id: str
    settings: tuple[tuple[str, Any], ...] = field(default=())

    def __str__(self) -> str:
        told = ",".join(f"{name}={text_of(value)}" for name, value in self.settings)
        return f"{self.id}:{told}" if told else self.id


def text_of(value: Any) -> str:
    """A setting's value as it is written."""
    if value is None:
        return "auto"
    if isinstance(value, tuple):
        return "/".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def number(low: float, high: float = math.inf, closed: bool = False) -> Callable[[str], float]:
    """Reads a finite number above ``low`` (from it on, if ``closed``) and up to ``high``."""

    def read(text: str) -> float:
        value = float(text)
        inside = low <= value <= high if closed else low < value <= high
        if not (inside and math.isfinite(value)):
            raise ValueError(text)
        return value

    return read


def count(low: int) -> Callable[[str], int]:
    """Reads a whole number from ``low`` on."""

    def read(text: str) -> int:
        value = int(text)
        if value < low:
            raise ValueError(text)
        return value

    return read


def count_or_auto(text: str) -> int | None:
    """A whole number from 1 on, or None for ``auto``."""
    return None if text == "auto" else count(1)(text)


def one_of(*words: str) -> Callable[[str], str]:
    """Reads one of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return read


def yes_or_no(text: str) -> bool:
    """What is written as true or false, yes or no, 1 or 0."""
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]


def term_and_factor(text: str) -> str:
    """A name, an asterisk, and a positive number."""
    name, _, factor = text.rpartition("*")
    if not name or not 0 < float(factor) < math.inf:
        raise ValueError(text)
    return text


def size_or_auto(text: str) -> float | None:
    """A positive number, or None for ``auto``."""
    return None if text == "auto" else number(0.0)(text)
