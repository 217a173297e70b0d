"""``zero-bias``, ``orthogonal-recurrent``, ``forget-gates``, ``off-zero``: a start that is wrong in one place.

The parts are those of :mod:`surefoot.init.starts`.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer

from surefoot.apply.cure import Cure, Desk
from surefoot.apply.start import Start
from surefoot.init.starts import off_zero_, open_forget_gates_, orthogonal_recurrent_, zero_bias_


class ZeroBias(Start):
    """Calls :func:`surefoot.init.zero_bias_`."""

    id = "zero-bias"

    def start(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Set biases to zero."""
        return _told(zero_bias_(model), "set {} biases of {} to zero", model)


class OrthogonalRecurrent(Start):
    """Calls :func:`surefoot.init.orthogonal_recurrent_`."""

    id = "orthogonal-recurrent"

    def __init__(self, desk: Desk, layers: str) -> None:
        super().__init__(desk)
        self._layers = layers.split("+")

    def start(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Draw recurrent weights."""
        return _told(orthogonal_recurrent_(model, self._layers), "made {} recurrent matrices of {} keep lengths", model)


class ForgetGates(Start):
    """Calls :func:`surefoot.init.open_forget_gates_`."""

    id = "forget-gates"

    def __init__(self, desk: Desk, length: float) -> None:
        super().__init__(desk)
        self._length = length

    def start(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Open forget gates."""
        return _told(open_forget_gates_(model, self._length), "opened the forget gates of {} layers of {}", model)


class OffZero(Cure):
    """Calls :func:`surefoot.init.off_zero_` with what each optimiser is given: what is zero has learned nothing."""

    id = "off-zero"
    wants_models = True

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._drawn = 0

    def at_optimizer(self, optimizer: Optimizer) -> None:
        """Draw what is zero."""
        found = 0 if self.desk.offset else off_zero_([p for group in optimizer.param_groups for p in group["params"]])
        if found:
            self._drawn += found
            self.act()

    def at_close(self) -> None:
        """Say so where there was nothing to draw."""
        if not self._drawn:
            self.note("no optimizer was given a matrix that is zero throughout; nothing was changed")

    def summary(self) -> str:
        """How many."""
        return f"drew {self._drawn:,} matrices that were zero"


def _told(number: int, what: str, model: nn.Module) -> str:
    if not number:
        raise ValueError("it has nothing of the kind")
    return what.format(f"{number:,}", type(model).__name__)
