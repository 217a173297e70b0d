"""The loss of the step under way, as backwards show it: their sum since the last step (gradient accumulation)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from surefoot.apply.scalers import Scalers
from surefoot.observe.signals.loss import loss_tensor


class StepLoss:
    """Adds up what backwards begin from, until a step was taken."""

    def __init__(self) -> None:
        self._loss: Tensor | None = None
        self._stepped = False
        self._scalers = Scalers()

    def at_backward(self, tensors: Any) -> None:
        """Add a loss."""
        if self._stepped:
            self._loss, self._stepped = None, False
        loss = loss_tensor(tensors)
        if loss is not None:
            value = loss.detach()
            self._loss = value if self._loss is None else self._loss + value.to(self._loss.device)

    def stepped(self) -> None:
        """A step begins: the next backward belongs to another one."""
        self._stepped = True

    def value(self) -> float | None:
        """The loss without the factor of a gradient scaler, which waits for the device; None if it isn't known."""
        scalers = self._scalers.enabled()
        if self._loss is None or len(scalers) > 1:
            return None
        return float(self._loss) / (scalers[0].get_scale() if scalers else 1.0)
