"""Closures that return the loss with its graph, where the step itself differentiates it, and more than once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from surefoot.autodiff.parameters import one_number


def loss_with_graph(found: Any) -> Tensor:
    """What a closure gave, as a 0-d tensor that leads back to the parameters.

    Raises
    ------
    ValueError
        If it is not one number, or has no graph.
    """
    loss = one_number(found)
    if not loss.requires_grad:
        raise ValueError("closure: its loss has no graph to the parameters; return the loss itself, not its number")
    return loss


@contextlib.contextmanager
def backward_left_to_step() -> Iterator[None]:
    """Where the loss is differentiated: says so if the closure has done that already.

    Raises
    ------
    RuntimeError
        If its graph is gone.
    """
    try:
        yield
    except RuntimeError as error:
        if "backward through the graph a second time" in str(error):
            raise RuntimeError("closure: ran backward(); return the loss, step() differentiates it") from error
        raise
