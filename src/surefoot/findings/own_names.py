"""Cures in the script's own words: ``net`` and ``opt`` in the place of ``model`` and ``optimizer``.

The record has an event ``names`` where a script calls them otherwise: ``near`` are the names where the step is taken,
``made`` those where the objects are made. A snippet is pasted at either place, as its first line says.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import replace

from surefoot.findings.history import EventLike
from surefoot.runs.schema import Remedy


def in_own_words(remedy: Remedy, names: EventLike | None) -> Remedy:
    """A remedy whose snippet uses the script's names.

    Parameters
    ----------
    remedy : its ``how`` is over the names ``model``, ``optimizer``, ``loss_fn``
    names : the run's ``names`` event; None leaves the remedy as it is, and so does a name that does not fit
    """
    if names is None:
        return remedy
    where = "made" if remedy.how.startswith("# after:") else "near"
    own: Mapping[str, str] = names.data.get(where, {})
    how = remedy.how
    if how.startswith("# after: loss\n") and "loss_fn" in own:
        how = how.replace("# after: loss\n", "# after: loss_fn\n", 1)
    for usual, name in own.items():
        if usual != name:
            how = re.sub(rf"(?<![\w.\"']){re.escape(usual)}\b(?![\"'])", name, how)
    if how.startswith("# after: loss_fn\n"):  # it was called so all the same
        how = how.replace("# after: loss_fn\n", "# after: loss\n", 1)
    try:
        ast.parse(how)
    except SyntaxError:  # a function cannot be defined under the name of an attribute
        return remedy
    return replace(remedy, how=how)
