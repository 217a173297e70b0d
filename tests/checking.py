"""The run-time type checker of the tests, and where it steps back."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from beartype import BeartypeConf, beartype
from jaxtyping import config

check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as for Python's own checkers


@contextmanager
def unchecked() -> Iterator[None]:
    """No shape or type is checked inside."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", before)


def raises_of_our_own(original: Any = pytest.raises) -> Any:
    """``pytest.raises`` with the checker off inside: there it is our own refusal of bad input that is tested."""

    @functools.wraps(original)
    @contextmanager
    def raises(*arguments: Any, **options: Any) -> Iterator[Any]:
        with original(*arguments, **options) as caught, unchecked():
            yield caught

    return raises
