"""What a user asked not to be told: findings by id, everywhere or in some modules."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from surefoot.findings.rule import Sign

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Ignored:
    """A finding that is not to be told; ``module`` is a glob over where it is (``"blocks.*.mlp"``), None everywhere."""

    id: str
    module: str | None = None

    @classmethod
    def parse(cls, text: str) -> Ignored:
        """Read ``ID`` or ``ID@module``.

        Raises
        ------
        ValueError
            If ``text`` is neither.
        """
        id, at, module = text.partition("@")
        if not _ID.fullmatch(id) or (at and not module):
            raise ValueError(f"ignore: {text!r} is no ID or ID@module, such as dead-units@encoder.*")
        return cls(id, module or None)


def told(id: str, sign: Sign, ignored: Iterable[Ignored]) -> Sign | None:
    """The sign as far as it is to be told: without the modules that are ignored; None if nothing remains.

    A sign of the whole run (no ``where``) is ignored by its id alone.
    """
    globs = [entry.module for entry in ignored if entry.id == id]
    if None in globs:
        return None
    if not globs or not sign.where:
        return sign
    away = {where for where in sign.where if any(fnmatchcase(where, glob) for glob in globs if glob is not None)}
    if not away:
        return sign
    where = tuple(place for place in sign.where if place not in away)
    evidence = tuple(proof for proof in sign.evidence if proof.where not in away)
    return replace(sign, where=where, evidence=evidence) if where else None
