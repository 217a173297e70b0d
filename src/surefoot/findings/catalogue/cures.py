"""The remedies that rules offer, by name: ``surefoot explain`` shows their code."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from types import FunctionType

from surefoot.runs.schema import Remedy

# What a remedy that a rule makes to measure is shown for: ten times too high or low, a thousand steps, a ReLU network.
_EXAMPLES = {"float": 10.0, "int": 1000, "str": "relu", "tuple[str, ...]": ("cell",)}


@cache
def cures() -> dict[str, Remedy]:
    """Every remedy that is defined beside the rules, by its name; those made to measure with an example's number."""
    import_module("surefoot.findings.rules")
    shared = import_module("surefoot.findings.remedies")
    beside = [module for name, module in sys.modules.items() if name.startswith("surefoot.findings.rules.")]
    found: dict[str, Remedy] = {}
    for module in (shared, *beside):
        for value in vars(module).values():
            if isinstance(value, Remedy):
                found.setdefault(value.name, value)
            elif isinstance(value, FunctionType) and value.__annotations__.get("return") == "Remedy":
                measure = next(iter(value.__annotations__.values()))
                if measure in _EXAMPLES:  # else it chooses among those that are made so
                    made = value(_EXAMPLES[measure])
                    found.setdefault(made.name, made)
    return found
