"""``early-stopping``: once the validation loss has been rising for a while, the weights of its best are held.

Steps go on and change nothing any more, so that the script ends as it would: what it evaluates and saves from then on
are the best weights. The validation losses are those that the script itself takes as it goes.
"""

from __future__ import annotations

from torch import nn
from torch.optim import Optimizer

from surefoot.apply.cure import Desk, ModelCure
from surefoot.optim.early_stopping import EarlyStopping


class HeldAtBest(ModelCure):
    """Asks :class:`surefoot.optim.EarlyStopping` after each evaluation; one for each loss that is evaluated."""

    id = "early-stopping"

    def __init__(self, desk: Desk, patience: int) -> None:
        super().__init__(desk)
        self.patience = patience
        self._stopping: dict[str, EarlyStopping] = {}
        self._held: EarlyStopping | None = None
        self._seen, self._since = 0, 0
        desk.listen(self._evaluated)

    def met(self, model: nn.Module) -> None:
        """What was kept is not the whole any more."""
        self._stopping.clear()

    def _evaluated(self, name: str, loss: float) -> None:
        if self._held is None and self.trained:
            stopping = self._stopping.setdefault(name, EarlyStopping(self.trained, self.patience))
            if stopping.update(loss):
                self._held, self._since = stopping, self._seen + self.desk.offset

    def before_step(self, optimizer: Optimizer) -> None:
        """An evaluation that was under way is over."""
        self._seen += 1
        self.desk.evaluated()
        if self._held is not None:
            self.desk.leave_out()

    def after_step(self, optimizer: Optimizer) -> None:
        """Put the best weights back."""
        if self._held is not None:
            self._held.restore()
            self.act()

    def at_close(self) -> None:
        """Let go of the copies; say so where no evaluation was seen."""
        if not self._stopping:
            self.note(
                "no validation loss was seen (a loss function of torch.nn.functional, without gradients, of other data "
                "than is trained on); nothing was changed"
            )
        self._stopping.clear()

    def summary(self) -> str:
        """Since when, and at what."""
        if self._held is None:
            return "held no weights"
        return f"held the weights of the best evaluation ({self._held.best:.4g}) from step {self._since:,} on"
