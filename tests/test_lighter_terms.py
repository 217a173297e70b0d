"""The cure of a loud term that has a weight of its own: a smaller one."""

from types import SimpleNamespace
from typing import Any

import pytest

from surefoot.apply.catalogue import parse
from surefoot.findings.rules.term_cures import BALANCE, drowned_by


def history(weight: float) -> Any:
    """Of a run whose loud term has this weight, and no targets."""
    return SimpleNamespace(value=lambda signal, name: weight, wheres=lambda signal: ())


def test_a_loud_term_with_a_small_weight_gets_a_smaller_one() -> None:
    (cure,) = drowned_by(history(0.008), "AdamW: add 2")
    assert cure.apply is not None
    ways = dict(parse(cure.apply).settings)["of"]
    assert ways == tuple(f"term-weight:term=add.2*{factor}" for factor in ("0.1", "0.01", "0.001", "0.0001"))


@pytest.mark.parametrize("weight", [1.0, 3.0, float("nan")])
def test_one_without_is_balanced(weight: float) -> None:
    assert drowned_by(history(weight), "add") == (BALANCE,)
