"""A classification loss that is taken away from another: how far it may grow."""

from __future__ import annotations

import math

import pytest

from histories import train

LN6 = math.log(6)


def forgets(grows, weight: float = -0.3, known: bool = False, term: str = "mean_nllloss") -> list[str]:
    """300 steps; what is left of the loss is the term, unless its value is known."""
    kept, wanted = 0.05, [grows(step) for step in range(1, 301)]
    stream = train([kept + weight * value for value in wanted], constant=LN6)
    for step in range(10, 301, 10):
        row = {("term_weight", "cross_entropy"): 1.0, ("term_weight", term): weight}
        row |= {("term_value", "cross_entropy"): kept}
        if known:
            row[("term_value", term)] = weight * wanted[step - 1]
        stream.row(step, "terms", row)
    return [f for f in stream.loud() if f == "divergence"]


@pytest.mark.parametrize("known", [False, True])
def test_what_is_to_be_forgotten_grows_beyond_ignorance(known: bool) -> None:
    assert forgets(lambda s: 0.02 * s, known=known) == ["divergence"]
    assert forgets(lambda s: min(0.02 * s, 1.5 * LN6), known=known) == []  # about as if it had never been seen
    assert forgets(lambda s: 1.5 * LN6 + 0.005 * s, known=known) == []  # of more classes: it began as high
    assert forgets(lambda s: 0.02 * s, known=known, term="squared_error") == []  # nothing says what is far


def test_what_is_added_falls() -> None:
    assert forgets(lambda s: 0.02 * s, weight=0.3) == []
