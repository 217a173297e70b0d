"""The weights of the best evaluation, kept; and when no better one is to be waited for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

PATIENCE = 6
_RISE, _NOISES = 0.05, 4.0


def past_best(losses: Sequence[float], patience: int = PATIENCE) -> bool:
    """Whether validation losses were best a while ago and rise since, by more than their noise.

    That is: the best is ``patience`` evaluations old, the lowest of the last three is above it by 5 % of it and by four
    times the noise, and the half of the evaluations since that came later lies above the half that came first. The
    noise is that of the changes from evaluation to evaluation, by their own changes, which a steady fall or rise leaves
    out: 1.48 times their median size over √3.

    Parameters
    ----------
    losses : one an evaluation, oldest first; those that are not finite are passed over
    patience : evaluations since the best, 1 or more

    Raises
    ------
    ValueError
        If ``patience`` is below 1.
    """
    if patience < 1:
        raise ValueError(f"patience is {patience}; it must be 1 or more")
    values = np.asarray(losses, dtype=float)
    values = values[np.isfinite(values)]
    if len(values) < patience + 2:
        return False
    at = int(np.argmin(values))
    best, since = float(values[at]), len(values) - 1 - at
    if since < patience:
        return False
    noise = 1.4826 * float(np.median(np.abs(np.diff(values, 2)))) / 3**0.5
    rise = float(np.min(values[-3:])) - best
    half = at + 1 + since // 2
    steady = float(np.median(values[half:])) > float(np.median(values[at + 1 : half] if half > at + 1 else best))
    return steady and rise > _NOISES * noise and rise > _RISE * abs(best)


class EarlyStopping:
    """Keeps the weights of the best evaluation, and says when to stop; see :func:`past_best`.

    Parameters
    ----------
    modules : whose parameters and buffers are kept: a model, or several
    patience : evaluations since the best, 1 or more, after which a rise counts

    Attributes
    ----------
    best : the lowest loss so far; infinite before the first evaluation

    Raises
    ------
    ValueError
        If ``patience`` is below 1.

    Examples
    --------
    >>> import torch
    >>> from surefoot.optim import EarlyStopping
    >>> model = torch.nn.Linear(2, 1)
    >>> stopping = EarlyStopping(model)
    >>> for epoch, loss in enumerate([1.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]):
    ...     if stopping.update(loss):
    ...         break
    >>> epoch
    7
    >>> stopping.restore()
    """

    def __init__(self, modules: nn.Module | Iterable[nn.Module], patience: int = PATIENCE) -> None:
        if patience < 1:
            raise ValueError(f"patience is {patience}; it must be 1 or more")
        self._modules = [modules] if isinstance(modules, nn.Module) else list(modules)
        self._patience = patience
        self._losses: list[float] = []
        self._kept: list[tuple[Tensor, Tensor]] = []
        self.best = float("inf")

    def update(self, loss: float) -> bool:
        """Take an evaluation's loss, of the weights as they are now; gives whether to stop."""
        self._losses.append(float(loss))
        if loss < self.best:
            self.best = float(loss)
            tensors = [t for m in self._modules for t in (*m.parameters(), *m.buffers())]
            self._kept = [(t, t.detach().clone()) for t in {id(t): t for t in tensors}.values()]
        return past_best(self._losses, self._patience)

    @torch.no_grad()
    def restore(self) -> None:
        """Give the models the weights of the best evaluation; before the first they stay as they are."""
        for tensor, value in self._kept:
            tensor.copy_(value)
